// The client library against a server that fails on purpose.
#include "client/client.h"

#include <atomic>
#include <numeric>
#include <stop_token>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/scripted_server.h"

namespace emserve::client {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Table SomeTable(int64_t rows) {
  Table table{.columns = {"a", "b"}, .num_rows = rows, .values = {}};
  table.values.resize(static_cast<size_t>(2 * rows));
  std::iota(table.values.begin(), table.values.end(), 0.5);
  return table;
}

std::string_view Content(const Table& table) {
  return {reinterpret_cast<const char*>(table.values.data()), table.values.size() * sizeof(double)};
}

std::vector<int64_t> UpTo(int64_t last) {
  std::vector<int64_t> all(static_cast<size_t>(last));
  std::iota(all.begin(), all.end(), 1);
  return all;
}

class ClientTest : public testing::Test {
 protected:
  // Watches the scripted job and returns the sequences that were delivered.
  std::vector<int64_t> Watched(bool all_events = true) {
    std::vector<int64_t> sequences;
    const absl::StatusOr<v1::Job> job = client_->Watch(
        "jobs/j", {.all_events = all_events, .on_event = [&](const v1::JobEvent& event) {
                     sequences.push_back(event.sequence());
                   }});
    EXPECT_TRUE(job.ok()) << job.status();
    if (job.ok()) {
      EXPECT_EQ(job->state(), v1::JOB_STATE_SUCCEEDED);
    }
    return sequences;
  }

  ScriptedServer server_;
  const std::unique_ptr<Client> client_ = server_.Connect();
};

TEST_F(ClientTest, UploadsInChunksWithProgress) {
  const Table table = SomeTable(1000);
  std::vector<int64_t> done;
  const absl::StatusOr<v1::Dataset> dataset = client_->Upload(
      table, {}, {.chunk_bytes = 7000, .progress = [&](int64_t sent, int64_t total) {
                    EXPECT_EQ(total, 16000);
                    done.push_back(sent);
                  }});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(dataset->state(), v1::Dataset::STATE_ACTIVE);
  EXPECT_EQ(server_.datasets.content, Content(table));
  EXPECT_THAT(done, ElementsAre(7000, 14000, 16000));
}

TEST_F(ClientTest, ResumesABrokenUploadAtTheCommittedSize) {
  const Table table = SomeTable(1000);
  // Every third chunk is the last of its stream: once kept, once not.
  int chunks = 0;
  server_.datasets.before_chunk = [&](const v1::WriteDatasetRequest&) {
    return ++chunks % 3 == 0 && chunks % 2 == 0 ? Broken() : grpc::Status::OK;
  };
  server_.datasets.after_chunk = [&] {
    return chunks % 3 == 0 && chunks % 2 == 1 ? Broken() : grpc::Status::OK;
  };
  const absl::StatusOr<v1::Dataset> dataset = client_->Upload(table, {}, {.chunk_bytes = 777});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(server_.datasets.content, Content(table));
  EXPECT_GT(server_.datasets.num_writes, 4);
}

TEST_F(ClientTest, FindsTheSealedDatasetWhenTheAnswerIsLost) {
  server_.datasets.after_chunk = [] { return Broken(); };
  const absl::StatusOr<v1::Dataset> dataset = client_->Upload(SomeTable(10), {}, {});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(dataset->state(), v1::Dataset::STATE_ACTIVE);
  EXPECT_EQ(server_.datasets.num_writes, 1);
}

TEST_F(ClientTest, SendsADamagedChunkAgain) {
  bool damaged = false;
  server_.datasets.before_chunk = [&](const v1::WriteDatasetRequest& chunk) {
    if (damaged || chunk.write_offset() == 0) return grpc::Status::OK;
    damaged = true;
    return ToGrpcStatus(absl::DataLossError("crc32c: got 1, must be 2"));
  };
  const Table table = SomeTable(1000);
  ASSERT_TRUE(client_->Upload(table, {}, {.chunk_bytes = 5000}).ok());
  EXPECT_EQ(server_.datasets.content, Content(table));
}

TEST_F(ClientTest, GivesUpAnUploadThatGetsNoFurther) {
  server_.datasets.before_chunk = [](const v1::WriteDatasetRequest&) { return Broken(); };
  const absl::Status status = client_->Upload(SomeTable(10), {}, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("gave up after 5 attempts"));
  EXPECT_EQ(server_.datasets.num_writes, 5);
  EXPECT_FALSE(server_.datasets.deleted);
}

TEST_F(ClientTest, ContinuesAnUploadOfAnEarlierProcess) {
  const Table table = SomeTable(1000);
  server_.datasets.before_chunk = [](const v1::WriteDatasetRequest& chunk) {
    return chunk.write_offset() < 3000 ? grpc::Status::OK : Broken();
  };
  EXPECT_EQ(client_->Upload(table, {}, {.chunk_bytes = 1000}).status().code(),
            absl::StatusCode::kUnavailable);
  server_.datasets.before_chunk = nullptr;
  const absl::StatusOr<v1::Dataset> dataset =
      client_->ResumeUpload("datasets/d", Content(table), {});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(server_.datasets.content, Content(table));
}

TEST_F(ClientTest, DoesNotRepeatARefusalAndDeletesTheRefusedDataset) {
  server_.datasets.fails_when_sealed = true;
  const absl::Status status = client_->Upload(SomeTable(10), {}, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "dataset.columns[0]: got -1, must be a count");
  EXPECT_EQ(server_.datasets.num_writes, 1);
  EXPECT_TRUE(server_.datasets.deleted);
}

TEST_F(ClientTest, StopsAnUploadOnRequest) {
  std::stop_source stop;
  const absl::Status status =
      client_
          ->Upload(SomeTable(100'000), {},
                   {.chunk_bytes = 1000,
                    .progress = [&](int64_t, int64_t) { stop.request_stop(); },
                    .stop = stop.get_token()})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(server_.datasets.deleted);
}

TEST_F(ClientTest, RepeatsACreationWithTheSameKey) {
  int answers = 0;
  server_.datasets.after_create = [&] { return ++answers < 3 ? Broken() : grpc::Status::OK; };
  ASSERT_TRUE(client_->Upload(SomeTable(10), {}, {}).ok());
  ASSERT_EQ(server_.datasets.request_ids.size(), 3u);
  EXPECT_FALSE(server_.datasets.request_ids[0].empty());
  EXPECT_EQ(server_.datasets.request_ids[0], server_.datasets.request_ids[2]);
}

TEST_F(ClientTest, ResumesADownloadAfterBreaksAndDamage) {
  const Table table = SomeTable(1000);
  ASSERT_TRUE(client_->Upload(table, {}, {}).ok());
  int chunks = 0;
  server_.datasets.before_read = [&](v1::ReadDatasetResponse& chunk) {
    ++chunks;
    if (chunks % 5 == 3) return Broken();
    if (chunks % 5 == 0) chunk.mutable_data()->front() ^= 1;
    return grpc::Status::OK;
  };
  const absl::StatusOr<Table> back = client_->DownloadTable("datasets/d", {});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->columns, table.columns);
  EXPECT_EQ(back->values, table.values);
}

TEST_F(ClientTest, FollowsThePagesOfAListUpToTheLimit) {
  EXPECT_EQ(client_->ListDatasets(10)->size(), 10u);
  EXPECT_EQ(client_->ListDatasets(1500)->size(), 1500u);
  const auto all = client_->ListDatasets(1'000'000);
  ASSERT_EQ(all->size(), 2500u);
  EXPECT_EQ(all->back().name(), "datasets/2499");
}

TEST_F(ClientTest, WatchesToTheEnd) {
  server_.jobs.watch = [&](int, int64_t, const auto& write) {
    v1::WatchJobResponse first;
    *first.mutable_job() = server_.jobs.Snapshot(v1::JOB_STATE_RUNNING);
    write(first);
    write(server_.jobs.Batch(1, 60));
    write(v1::WatchJobResponse());
    write(server_.jobs.Batch(61, 100));
    return grpc::Status::OK;
  };
  EXPECT_EQ(Watched(), UpTo(100));
}

TEST_F(ClientTest, ResumesABrokenWatchWithoutGapAndWithoutDuplicate) {
  // Each call brings 7 events, and some that the client has seen already.
  server_.jobs.watch = [&](int, int64_t after, const auto& write) {
    const int64_t last = std::min<int64_t>(after + 7, 100);
    write(server_.jobs.Batch(std::max<int64_t>(1, after - 2), last));
    return last == 100 ? grpc::Status::OK : Broken();
  };
  EXPECT_EQ(Watched(), UpTo(100));
  EXPECT_EQ(server_.jobs.cursors[1], 7);
}

TEST_F(ClientTest, FetchesTheEventsThatTheServerSkips) {
  server_.jobs.watch = [&](int, int64_t, const auto& write) {
    write(server_.jobs.Batch(1, 3));
    v1::WatchJobResponse thinned = server_.jobs.Batch(90, 90);
    thinned.set_skipped_count(86);
    write(thinned);
    write(server_.jobs.Batch(95, 100));
    return grpc::Status::OK;
  };
  EXPECT_EQ(Watched(), UpTo(100));
  server_.jobs.cursors.clear();
  EXPECT_THAT(Watched(false), ElementsAre(1, 2, 3, 90, 95, 96, 97, 98, 99, 100));
}

TEST_F(ClientTest, AsksAgainWhenTheWatchEndsBeforeTheJob) {
  server_.jobs.watch = [&](int call, int64_t after, const auto& write) {
    write(server_.jobs.Batch(after + 1, call == 0 ? 50 : 100));
    return grpc::Status::OK;
  };
  EXPECT_EQ(Watched(), UpTo(100));
}

TEST_F(ClientTest, ReturnsTheJobWhenTheLastMessageIsLost) {
  server_.jobs.watch = [&](int call, int64_t after, const auto& write) {
    v1::WatchJobResponse response = server_.jobs.Batch(after + 1, 100);
    if (call == 0) response.clear_job();
    if (call == 1) *response.mutable_job() = server_.jobs.Snapshot(v1::JOB_STATE_SUCCEEDED);
    write(response);
    return call == 0 ? Broken() : grpc::Status::OK;
  };
  EXPECT_EQ(Watched(), UpTo(100));
  EXPECT_THAT(server_.jobs.cursors, ElementsAre(0, 100));
}

TEST_F(ClientTest, GivesUpAWatchThatBringsNothingNew) {
  server_.jobs.watch = [&](int, int64_t, const auto& write) {
    v1::WatchJobResponse first;
    *first.mutable_job() = server_.jobs.Snapshot(v1::JOB_STATE_RUNNING);
    write(first);
    return Broken();
  };
  EXPECT_EQ(client_->Watch("jobs/j", {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_.jobs.cursors.size(), 5u);
}

TEST_F(ClientTest, DoesNotRepeatAWatchOfAnUnknownJob) {
  server_.jobs.watch = [](int, int64_t, const auto&) {
    return ToGrpcStatus(absl::NotFoundError("jobs/j: not found"));
  };
  EXPECT_EQ(client_->Watch("jobs/j", {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(server_.jobs.cursors.size(), 1u);
}

TEST_F(ClientTest, StopsAWatchOnRequest) {
  const std::stop_source stop;
  // The server's side of the call outlives the client's.
  server_.jobs.watch = [stop](int, int64_t, const auto& write) {
    // Heartbeats until the client is gone.
    while (write(v1::WatchJobResponse())) stop.request_stop();
    return grpc::Status::OK;
  };
  EXPECT_EQ(client_->Watch("jobs/j", {.stop = stop.get_token()}).status().code(),
            absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, StreamsALargeTableEachRowOnceInOrder) {
  const Table table = SomeTable(50'000);
  int64_t next = 0;
  const absl::Status status = client_->StreamPredict(
      "models/m", table, {.chunk_rows = 999}, [&](const Prediction& prediction) {
        EXPECT_EQ(prediction.first_row, next);
        for (int64_t i = 0; i < prediction.num_rows; ++i) {
          const size_t row = static_cast<size_t>(next + i);
          EXPECT_EQ(prediction.outputs[0].values[static_cast<size_t>(i)],
                    table.values[2 * row] + table.values[2 * row + 1]);
        }
        next += prediction.num_rows;
        return absl::OkStatus();
      });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(next, 50'000);
  EXPECT_EQ(server_.predictions.requested_rows.size(), 51u);
}

TEST_F(ClientTest, ResumesABrokenPredictionWithTheSameVersion) {
  server_.predictions.before_answer = [](int answer, v1::StreamPredictResponse&) {
    return answer % 4 == 3 ? Broken() : grpc::Status::OK;
  };
  const Table table = SomeTable(1000);
  int64_t next = 0;
  const absl::Status status = client_->StreamPredict(
      "models/m@prod", table, {.chunk_rows = 64}, [&](const Prediction& prediction) {
        EXPECT_EQ(prediction.first_row, next);
        EXPECT_EQ(prediction.outputs[0].values[0],
                  table.values[static_cast<size_t>(2 * next)] +
                      table.values[static_cast<size_t>(2 * next + 1)]);
        next += prediction.num_rows;
        return absl::OkStatus();
      });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(next, 1000);
  EXPECT_EQ(server_.predictions.models[0], "models/m@prod");
  EXPECT_EQ(server_.predictions.models[1], "models/m/versions/1");
}

// A new stream begins a new sequence, which the rest of a broken one is not.
TEST_F(ClientTest, DoesNotResumeAPredictionWithinASequence) {
  server_.predictions.before_answer = [](int answer, v1::StreamPredictResponse&) {
    return answer == 2 ? Broken() : grpc::Status::OK;
  };
  server_.models.version.mutable_spec()->mutable_model()->mutable_hidden_markov();
  int64_t rows = 0;
  const absl::Status status = client_->StreamPredict(
      "models/m@prod", SomeTable(100), {.chunk_rows = 10}, [&rows](const Prediction& prediction) {
        rows += prediction.num_rows;
        return absl::OkStatus();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(),
            "the stream ended at row 20, and a sequence cannot be taken up in its middle; say "
            "sequence_lengths");
  EXPECT_EQ(rows, 20);
  EXPECT_THAT(server_.predictions.models, ElementsAre("models/m@prod"));
  EXPECT_THAT(server_.models.lookups, ElementsAre("models/m/versions/1"));
}

TEST_F(ClientTest, DoesNotResumeAPredictionOfAModelThatItMayNotSee) {
  server_.predictions.before_answer = [](int answer, v1::StreamPredictResponse&) {
    return answer == 2 ? Broken() : grpc::Status::OK;
  };
  server_.models.status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not for you");
  const auto sink = [](const Prediction&) { return absl::OkStatus(); };
  const absl::Status status =
      client_->StreamPredict("models/m", SomeTable(100), {.chunk_rows = 10}, sink);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("ended at row 20"), HasSubstr("not for you")));
  EXPECT_EQ(server_.predictions.models.size(), 1u);
}

// Before the first answer nothing can have been lost.
TEST_F(ClientTest, BeginsASequenceAgainWithoutAskingForItsModel) {
  server_.predictions.before_answer = [](int answer, v1::StreamPredictResponse&) {
    return answer == 0 ? Broken() : grpc::Status::OK;
  };
  server_.models.status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not for you");
  const auto sink = [](const Prediction&) { return absl::OkStatus(); };
  EXPECT_TRUE(client_->StreamPredict("models/m", SomeTable(100), {.chunk_rows = 10}, sink).ok());
  EXPECT_EQ(server_.predictions.models.size(), 2u);
  EXPECT_TRUE(server_.models.lookups.empty());
}

TEST_F(ClientTest, StreamsWholeSequencesAlsoAfterABrokenConnection) {
  server_.predictions.before_answer = [](int answer, v1::StreamPredictResponse&) {
    return answer == 1 ? Broken() : grpc::Status::OK;
  };
  std::vector<std::vector<int64_t>> chunks;
  int64_t next = 0;
  const absl::Status status = client_->StreamPredict(
      "models/m", SomeTable(20), {.sequence_lengths = {3, 4, 10, 2, 1}, .chunk_rows = 8},
      [&](const Prediction& prediction) {
        EXPECT_EQ(prediction.first_row, next);
        next += prediction.num_rows;
        chunks.push_back(prediction.sequence_lengths);
        EXPECT_TRUE(IsOfSequences(prediction.outputs[1].name));
        EXPECT_EQ(prediction.outputs[1].values,
                  std::vector<double>(chunks.back().begin(), chunks.back().end()));
        return absl::OkStatus();
      });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(chunks, (std::vector<std::vector<int64_t>>{{3, 4}, {10}, {2, 1}}));
  EXPECT_EQ(next, 20);
  EXPECT_EQ(static_cast<size_t>(server_.predictions.new_sequences),
            server_.predictions.requested_rows.size());
}

TEST_F(ClientTest, RefusesSequencesThatAreNotTheRows) {
  const auto sink = [](const Prediction&) { return absl::OkStatus(); };
  const PredictOptions options = {.sequence_lengths = {3, 4}};
  for (const absl::Status& status :
       {client_->StreamPredict("models/m", SomeTable(20), options, sink),
        client_->Predict("models/m", SomeTable(20), options).status()}) {
    EXPECT_EQ(status.message(), "sequence_lengths: got a sum of 7, must be 20, the number of rows");
  }
  EXPECT_TRUE(server_.predictions.requested_rows.empty());
}

TEST_F(ClientTest, RefusesToMixVersionsInOnePrediction) {
  server_.predictions.before_answer = [](int answer, v1::StreamPredictResponse& response) {
    if (answer == 2) response.set_model_version("models/m/versions/2");
    return grpc::Status::OK;
  };
  const absl::Status status =
      client_->StreamPredict("models/m", SomeTable(1000), {.chunk_rows = 10},
                             [](const Prediction&) { return absl::OkStatus(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
}

TEST_F(ClientTest, ReportsTheStatusOfABadChunk) {
  server_.predictions.before_answer = [](int answer, v1::StreamPredictResponse& response) {
    if (answer == 1) {
      *response.mutable_status() = ToProto(absl::InvalidArgumentError("table: got infinity"));
    }
    return grpc::Status::OK;
  };
  int64_t rows = 0;
  const absl::Status status = client_->StreamPredict(
      "models/m", SomeTable(100'000), {.chunk_rows = 10}, [&](const Prediction& prediction) {
        rows += prediction.num_rows;
        return absl::OkStatus();
      });
  EXPECT_EQ(status.message(), "table: got infinity");
  EXPECT_EQ(rows, 10);
}

TEST_F(ClientTest, CountsARefusedRowInTheWholeTable) {
  server_.predictions.before_answer = [](int answer, v1::StreamPredictResponse& response) {
    if (answer == 3) {
      *response.mutable_status() =
          ToProto(absl::InvalidArgumentError("table.rows[7]: got -1, must be positive"));
    }
    return grpc::Status::OK;
  };
  const absl::Status status =
      client_->StreamPredict("models/m", SomeTable(100), {.chunk_rows = 10},
                             [](const Prediction&) { return absl::OkStatus(); });
  EXPECT_EQ(status.message(), "table.rows[37]: got -1, must be positive");
  EXPECT_EQ(status.GetPayload(kFieldPayload), absl::Cord("table.rows[37]"));
}

TEST_F(ClientTest, EndsAPredictionWithTheErrorOfTheSink) {
  const absl::Status status = client_->StreamPredict(
      "models/m", SomeTable(100'000), {.chunk_rows = 10},
      [](const Prediction&) { return absl::ResourceExhaustedError("disk full"); });
  EXPECT_EQ(status.message(), "disk full");
}

TEST_F(ClientTest, KeepsTheDetailsOfAnError) {
  server_.jobs.watch = [](int, int64_t, const auto&) {
    absl::Status status = absl::InvalidArgumentError("name: got x, must be jobs/{job}");
    return ToGrpcStatus(status);
  };
  const absl::Status status = client_->Watch("x", {}).status();
  EXPECT_EQ(std::string(*status.GetPayload(kFieldPayload)), "name");
}

TEST(Connect, SaysThatNobodyIsThere) {
  auto server = std::make_unique<ScriptedServer>();
  ConnectOptions options;
  {
    const auto client = server->Connect();
    ASSERT_NE(client, nullptr);
  }
  options.address = "127.0.0.1:1";
  options.connect_timeout = absl::Milliseconds(500);
  const absl::Time start = absl::Now();
  const absl::Status status = Client::Connect(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("127.0.0.1:1: cannot be reached within 500ms: Connection refused; is "
                        "emserved running there?"));
  // A server that is being started is waited for.
  EXPECT_GT(absl::Now() - start, absl::Milliseconds(300));
}

TEST(Connect, RefusesAddressesThatCannotWorkAtOnce) {
  const absl::Time start = absl::Now();
  for (const auto& [address, why] : std::vector<std::pair<const char*, const char*>>{
           {"http://127.0.0.1:50551", "must be host:port without http://"},
           {"127.0.0.1", "must be host:port"},
           {"", "must be host:port"},
           {":50551", "must be host:port"},
           {"a b:50551", "must be host:port"},
           {"127.0.0.1:", "a port from 1 to 65535"},
           {"127.0.0.1:99999", "a port from 1 to 65535"},
           {"127.0.0.1:0", "a port from 1 to 65535"},
           {"127.0.0.1:-1", "a port from 1 to 65535"},
           {"::1:50551", "goes in brackets"},
           {"[::1]", "must be host:port"},
           // A top-level domain that never resolves and that no name server is asked about.
           {"nobody.onion:50551", "must name a host that exists"}}) {
    ConnectOptions options;
    options.address = address;
    const absl::Status status = Client::Connect(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_THAT(std::string(status.message()), HasSubstr("address: got \"")) << address;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why)) << address;
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST(Connect, SaysThatAServerDoesNotSpeakTlsAtOnce) {
  const ScriptedServer server;
  ConnectOptions options;
  options.address = server.address();
  options.tls = true;
  options.connect_timeout = absl::Minutes(10);
  const absl::Status status = Client::Connect(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not speak TLS"));
}

TEST(Connect, RefusesACertificateWithoutKeyAndFilesItCannotRead) {
  ConnectOptions options;
  options.tls = true;
  options.tls_cert_file = "/nowhere/cert.pem";
  EXPECT_EQ(Client::Connect(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.tls_key_file = "/nowhere/key.pem";
  EXPECT_THAT(std::string(Client::Connect(options).status().message()),
              HasSubstr("/nowhere/cert.pem: cannot be read"));
}

TEST(JobError, NamesWhyAJobHasNoResult) {
  v1::Job job;
  job.set_name("jobs/a");
  job.set_state(v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(JobError(job).ok());
  job.set_state(v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(JobError(job).code(), absl::StatusCode::kCancelled);
  job.set_state(v1::JOB_STATE_FAILED);
  EXPECT_EQ(JobError(job).code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace emserve::client
