// DatasetService over a real socket: uploads that are cut, wrong, too large or hostile.
#include <algorithm>
#include <random>

#include "proto/wire/crc32c.h"
#include "tests/server/service_test.h"

namespace emserve::server {
namespace {

using emserve::testing::Data;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class DatasetServiceTest : public ServiceTest {
 protected:
  grpc::Status Create(const v1::CreateDatasetRequest& request, v1::Dataset* dataset = nullptr) {
    grpc::ClientContext context;
    v1::CreateDatasetResponse response;
    const grpc::Status status = client_->datasets->CreateDataset(&context, request, &response);
    if (dataset != nullptr) *dataset = response.dataset();
    return status;
  }

  v1::Dataset Get(const std::string& name) {
    grpc::ClientContext context;
    v1::GetDatasetRequest request;
    request.set_name(name);
    v1::GetDatasetResponse response;
    const grpc::Status status = client_->datasets->GetDataset(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.dataset();
  }

  // Writes `data` in chunks of `chunk` bytes from `offset` on, in one stream; with `close` the
  // client ends the stream, without it breaks the connection off.
  grpc::Status Write(const std::string& name, const std::string& data, int64_t offset, size_t chunk,
                     v1::Dataset* dataset = nullptr) {
    grpc::ClientContext context;
    v1::WriteDatasetResponse response;
    const auto writer = client_->datasets->WriteDataset(&context, &response);
    for (size_t begin = 0; begin < data.size(); begin += chunk) {
      v1::WriteDatasetRequest request;
      if (begin == 0) request.set_name(name);
      request.set_write_offset(offset + static_cast<int64_t>(begin));
      request.set_data(data.substr(begin, chunk));
      request.set_crc32c(Crc32c(request.data()));
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (dataset != nullptr) *dataset = response.dataset();
    return status;
  }

  std::string Read(const std::string& name, int64_t offset) {
    grpc::ClientContext context;
    v1::ReadDatasetRequest request;
    request.set_name(name);
    request.set_offset(offset);
    const auto reader = client_->datasets->ReadDataset(&context, request);
    std::string data;
    for (v1::ReadDatasetResponse chunk; reader->Read(&chunk);) {
      EXPECT_EQ(chunk.offset(), offset + static_cast<int64_t>(data.size()));
      EXPECT_EQ(chunk.crc32c(), Crc32c(chunk.data()));
      data += chunk.data();
    }
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return data;
  }

  grpc::Status Delete(const std::string& name) {
    grpc::ClientContext context;
    v1::DeleteDatasetRequest request;
    request.set_name(name);
    v1::DeleteDatasetResponse response;
    return client_->datasets->DeleteDataset(&context, request, &response);
  }

  grpc::Status List(int page_size, const std::string& token, v1::ListDatasetsResponse* response) {
    grpc::ClientContext context;
    v1::ListDatasetsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(token);
    return client_->datasets->ListDatasets(&context, request, response);
  }
};

v1::CreateDatasetRequest TableOf(const std::string& id, int64_t num_rows, int num_columns) {
  v1::CreateDatasetRequest request;
  request.set_dataset_id(id);
  request.mutable_dataset()->set_num_rows(num_rows);
  for (int c = 0; c < num_columns; ++c) {
    request.mutable_dataset()->add_columns()->set_name("x" + std::to_string(c));
  }
  return request;
}

// Doubles with every bit pattern that a finite cell, a missing one or an infinite one can have.
std::string RandomCells(size_t count, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = std::ldexp(static_cast<double>(random()), -40);
  return Bytes(values);
}

TEST_F(DatasetServiceTest, UploadCutAtRandomOffsetsResumesAndKeepsEveryBit) {
  std::mt19937 random(7);
  const int64_t num_rows = 20000;
  const std::string content = RandomCells(num_rows * 3, 1);
  ASSERT_TRUE(Create(TableOf("cut", num_rows, 3)).ok());
  v1::Dataset dataset = Get("datasets/cut");
  int streams = 0;
  while (dataset.state() == v1::Dataset::STATE_UPLOADING) {
    const auto from = static_cast<size_t>(dataset.committed_size());
    const size_t length = std::min<size_t>(content.size() - from, 1 + random() % 70000);
    grpc::ClientContext context;
    v1::WriteDatasetResponse response;
    const auto writer = client_->datasets->WriteDataset(&context, &response);
    size_t sent = 0;
    do {  // at least one message: with all bytes there it asks for the seal
      v1::WriteDatasetRequest chunk;
      if (sent == 0) chunk.set_name("datasets/cut");
      chunk.set_write_offset(static_cast<int64_t>(from + sent));
      chunk.set_data(
          content.substr(from + sent, std::min<size_t>(length - sent, 1 + random() % 9000)));
      sent += chunk.data().size();
      if (!writer->Write(chunk)) break;
    } while (sent < length);
    if (random() % 2 == 0) {
      context.TryCancel();  // the connection breaks: some of the chunks may not have arrived
      writer->Finish();
    } else {
      writer->WritesDone();
      // The stream before may still hold the dataset or add what was under way, all that was left
      // included, until the server sees that it is broken.
      const grpc::Status status = writer->Finish();
      const bool complete = Get("datasets/cut").state() != v1::Dataset::STATE_UPLOADING;
      ASSERT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::ABORTED ||
                  status.error_code() == grpc::StatusCode::OUT_OF_RANGE ||
                  (complete && status.error_code() == grpc::StatusCode::FAILED_PRECONDITION))
          << status.error_message();
    }
    // A broken stream lets go of the dataset when the server sees the break; until then it is
    // ABORTED.
    const v1::Dataset before = dataset;
    dataset = Get("datasets/cut");
    ASSERT_GE(dataset.committed_size(), before.committed_size());
    ASSERT_LE(dataset.committed_size(), static_cast<int64_t>(from + length));
    ++streams;
  }
  EXPECT_GT(streams, 5);
  ASSERT_EQ(dataset.state(), v1::Dataset::STATE_ACTIVE) << dataset.ShortDebugString();
  EXPECT_EQ(Read("datasets/cut", 0), content);
  EXPECT_EQ(Read("datasets/cut", 12345), content.substr(12345));
  EXPECT_EQ(Read("datasets/cut", static_cast<int64_t>(content.size())), "");
}

TEST_F(DatasetServiceTest, SealedDatasetHasDigestAndColumnFigures) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  ASSERT_TRUE(Create(TableOf("d", 4, 2)).ok());
  v1::Dataset dataset;
  ASSERT_TRUE(
      Write("datasets/d", Bytes({1, 10, 2, nan, 3, inf, 6, 20}), 0, 1 << 20, &dataset).ok());
  EXPECT_EQ(dataset.state(), v1::Dataset::STATE_ACTIVE);
  EXPECT_EQ(dataset.size_bytes(), 64);
  EXPECT_EQ(dataset.committed_size(), 64);
  EXPECT_THAT(dataset.sha256(), SizeIs(64));
  const v1::ColumnSummary& first = dataset.columns(0).summary();
  EXPECT_EQ(first.minimum(), 1);
  EXPECT_EQ(first.maximum(), 6);
  EXPECT_EQ(first.mean(), 3);
  EXPECT_DOUBLE_EQ(first.variance(), 3.5);
  EXPECT_EQ(first.first_non_finite_row(), -1);
  const v1::ColumnSummary& second = dataset.columns(1).summary();
  EXPECT_EQ(second.num_missing(), 1);
  EXPECT_EQ(second.num_infinite(), 1);
  EXPECT_EQ(second.mean(), 15);
  EXPECT_EQ(second.first_non_finite_row(), 1);
}

TEST_F(DatasetServiceTest, WrongOffsetSaysWhereToGoOn) {
  ASSERT_TRUE(Create(TableOf("d", 10, 1)).ok());
  const std::string content = RandomCells(10, 3);
  ASSERT_TRUE(Write("datasets/d", content.substr(0, 33), 0, 11).ok());
  for (const int64_t offset :
       {int64_t{0}, int64_t{32}, int64_t{34}, int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
    const grpc::Status status = Write("datasets/d", content.substr(33, 5), offset, 100);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE) << status.error_message();
    EXPECT_THAT(Detail(status, kMetadataPayload), HasSubstr("committed_size=33"));
  }
  EXPECT_EQ(Get("datasets/d").committed_size(), 33);
}

TEST_F(DatasetServiceTest, ChunkWithWrongChecksumIsRefusedAndNothingOfItKept) {
  ASSERT_TRUE(Create(TableOf("d", 10, 1)).ok());
  grpc::ClientContext context;
  v1::WriteDatasetResponse response;
  const auto writer = client_->datasets->WriteDataset(&context, &response);
  v1::WriteDatasetRequest chunk;
  chunk.set_name("datasets/d");
  chunk.set_data(std::string(16, 'a'));
  chunk.set_crc32c(Crc32c(chunk.data()));
  writer->Write(chunk);
  chunk.set_write_offset(16);
  chunk.set_crc32c(chunk.crc32c() ^ 1);
  writer->Write(chunk);
  writer->WritesDone();
  EXPECT_THAT(writer->Finish(), IsStatus(grpc::StatusCode::DATA_LOSS, "crc32c"));
  EXPECT_EQ(Get("datasets/d").committed_size(), 16);
}

TEST_F(DatasetServiceTest, MoreBytesThanDeclaredAreRefused) {
  ASSERT_TRUE(Create(TableOf("d", 2, 1)).ok());
  const grpc::Status status = Write("datasets/d", std::string(17, 'a'), 0, 100);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(Get("datasets/d").committed_size(), 0);
}

TEST_F(DatasetServiceTest, WrongDigestMakesTheDatasetFailed) {
  v1::CreateDatasetRequest request = TableOf("d", 2, 1);
  request.mutable_dataset()->set_sha256(std::string(64, '0'));
  ASSERT_TRUE(Create(request).ok());
  v1::Dataset dataset;
  ASSERT_TRUE(Write("datasets/d", Bytes({1, 2}), 0, 100, &dataset).ok());
  EXPECT_EQ(dataset.state(), v1::Dataset::STATE_FAILED);
  EXPECT_EQ(dataset.error().code(), grpc::StatusCode::INVALID_ARGUMENT)
      << dataset.error().ShortDebugString();
  v1::FitRequest fit = FaithfulFit(1);
  fit.clear_inline_data();
  fit.mutable_fit()->set_dataset("datasets/d");
  grpc::ClientContext context;
  const auto reader = client_->jobs->Fit(&context, fit);
  v1::FitResponse message;
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(DatasetServiceTest, CountsAndCategoriesAreCheckedWhenSealing) {
  v1::CreateDatasetRequest request = TableOf("counts", 2, 1);
  request.mutable_dataset()->mutable_columns(0)->set_kind(v1::COLUMN_KIND_COUNT);
  ASSERT_TRUE(Create(request).ok());
  v1::Dataset dataset;
  ASSERT_TRUE(Write("datasets/counts", Bytes({1, -2}), 0, 100, &dataset).ok());
  EXPECT_EQ(dataset.state(), v1::Dataset::STATE_FAILED);
  request = TableOf("levels", 2, 1);
  request.mutable_dataset()->mutable_columns(0)->set_kind(v1::COLUMN_KIND_CATEGORICAL);
  request.mutable_dataset()->mutable_columns(0)->add_levels("a");
  request.mutable_dataset()->mutable_columns(0)->add_levels("b");
  ASSERT_TRUE(Create(request).ok());
  ASSERT_TRUE(Write("datasets/levels", Bytes({1, 2}), 0, 100, &dataset).ok());
  EXPECT_EQ(dataset.state(), v1::Dataset::STATE_FAILED);
}

TEST_F(DatasetServiceTest, HostileShapesAreRefusedWithTheField) {
  const auto refused = [this](const v1::CreateDatasetRequest& request, const char* field) {
    EXPECT_THAT(Create(request), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, field));
  };
  refused(TableOf("d", 0, 1), "dataset.num_rows");
  refused(TableOf("d", -1, 1), "dataset.num_rows");
  refused(TableOf("d", std::numeric_limits<int64_t>::max(), 1), "dataset.num_rows");
  refused(TableOf("d", std::numeric_limits<int64_t>::max() / 8, 8), "dataset.num_rows");
  refused(TableOf("d", 1, 0), "dataset.columns");
  refused(TableOf("Not An Id", 1, 1), "dataset_id");
  refused(TableOf(std::string(64, 'a'), 1, 1), "dataset_id");
  v1::CreateDatasetRequest request = TableOf("d", 1, 2);
  request.mutable_dataset()->mutable_columns(1)->set_name("x0");
  refused(request, "dataset.columns[1].name");
  request.mutable_dataset()->mutable_columns(1)->set_name("");
  refused(request, "dataset.columns[1].name");
  request.mutable_dataset()->mutable_columns(1)->set_name("a\nb");
  refused(request, "dataset.columns[1].name");
  request = TableOf("d", 1, 1);
  request.mutable_dataset()->set_element_type(static_cast<v1::ElementType>(77));
  refused(request, "dataset.element_type");
  request = TableOf("d", 1, 1);
  request.mutable_dataset()->mutable_columns(0)->set_kind(static_cast<v1::ColumnKind>(77));
  refused(request, "dataset.columns[0].kind");
  request = TableOf("d", 1, 1);
  request.mutable_dataset()->set_sha256("xyz");
  refused(request, "dataset.sha256");
  request = TableOf("d", 1, 1);
  request.mutable_dataset()->mutable_expire_time()->set_seconds(1);
  refused(request, "dataset.expire_time");
  refused(v1::CreateDatasetRequest(), "dataset.columns");
}

TEST_F(DatasetServiceTest, MemoryBudgetIsTakenAtCreationAndGivenBackByDelete) {
  const int64_t rows = (40 << 20) / 8;
  ASSERT_TRUE(Create(TableOf("a", rows, 1)).ok());
  const grpc::Status full = Create(TableOf("b", rows, 1));
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << full.error_message();
  EXPECT_NE(Detail(full, kQuotaPayload), "");
  ASSERT_TRUE(Delete("datasets/a").ok());
  EXPECT_TRUE(Create(TableOf("b", rows, 1)).ok());
  EXPECT_EQ(Create(TableOf("b", 1, 1)).error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(DatasetServiceTest, RequestIdMakesCreationIdempotent) {
  v1::CreateDatasetRequest request = TableOf("", 3, 1);
  request.set_request_id("key-1");
  v1::Dataset first;
  v1::Dataset second;
  ASSERT_TRUE(Create(request, &first).ok());
  ASSERT_TRUE(Create(request, &second).ok());
  EXPECT_EQ(first.name(), second.name());
  request.mutable_dataset()->set_num_rows(4);
  EXPECT_FALSE(Create(request).ok());
}

TEST_F(DatasetServiceTest, ValidateOnlyCreatesNothing) {
  v1::CreateDatasetRequest request = TableOf("d", 3, 1);
  request.set_validate_only(true);
  EXPECT_TRUE(Create(request).ok());
  v1::ListDatasetsResponse list;
  ASSERT_TRUE(List(0, "", &list).ok());
  EXPECT_THAT(list.datasets(), SizeIs(0));
  request.mutable_dataset()->set_num_rows(0);
  EXPECT_EQ(Create(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(DatasetServiceTest, ListsInPagesByName) {
  for (const char* id : {"c", "a", "e", "b", "d"}) ASSERT_TRUE(Create(TableOf(id, 1, 1)).ok());
  std::string token;
  std::string names;
  int pages = 0;
  do {
    v1::ListDatasetsResponse page;
    ASSERT_TRUE(List(2, token, &page).ok());
    for (const v1::Dataset& dataset : page.datasets()) names += dataset.name() + " ";
    token = page.next_page_token();
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(names, "datasets/a datasets/b datasets/c datasets/d datasets/e ");
  EXPECT_EQ(pages, 3);
  v1::ListDatasetsResponse page;
  EXPECT_THAT(List(0, "garbage", &page),
              IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "page_token"));
  EXPECT_THAT(List(-1, "", &page), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "page_size"));
  EXPECT_THAT(List(1001, "", &page), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "page_size"));
}

TEST_F(DatasetServiceTest, APageOfLargeItemsEndsEarlyAndLosesNone) {
  for (const char* id : {"a", "b", "c"}) {
    v1::CreateDatasetRequest request = TableOf(id, 1, 1);
    v1::Column& column = *request.mutable_dataset()->mutable_columns(0);
    column.set_kind(v1::COLUMN_KIND_CATEGORICAL);
    for (int i = 0; i < 6000; ++i) {
      column.add_levels(std::to_string(i) + std::string(200, 'x'));
    }
    ASSERT_TRUE(Create(request).ok());
  }
  std::vector<std::string> names;
  std::string token;
  do {
    v1::ListDatasetsResponse page;
    ASSERT_TRUE(List(10, token, &page).ok());
    EXPECT_THAT(page.datasets(), SizeIs(1));
    names.push_back(page.datasets(0).name());
    token = page.next_page_token();
  } while (!token.empty() && names.size() < 10);
  EXPECT_THAT(names, ::testing::ElementsAre("datasets/a", "datasets/b", "datasets/c"));
}

TEST_F(DatasetServiceTest, AnUploadHearsOfItsOwnDatasetAndNotOfANamesake) {
  ASSERT_TRUE(Create(TableOf("d", 2, 1)).ok());
  grpc::ClientContext context;
  v1::WriteDatasetResponse response;
  const auto writer = client_->datasets->WriteDataset(&context, &response);
  v1::WriteDatasetRequest chunk;
  chunk.set_name("datasets/d");
  chunk.set_data(Bytes({1}));
  ASSERT_TRUE(writer->Write(chunk));
  while (Get("datasets/d").committed_size() == 0) {
  }
  ASSERT_TRUE(Delete("datasets/d").ok());
  ASSERT_TRUE(Create(TableOf("d", 2, 1)).ok());
  ASSERT_TRUE(Write("datasets/d", Bytes({5, 6}), 0, 100).ok());
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(DatasetServiceTest, ATableThatCanNeverFitIsNotToBeTriedAgain) {
  const grpc::Status status = Create(TableOf("d", int64_t{1} << 40, 1));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Detail(status, kReasonPayload), "DATASET_TOO_LARGE");
  EXPECT_EQ(Detail(status, kRetryPayload), "");
}

TEST_F(DatasetServiceTest, UnknownNameIsNotFoundWithTheResource) {
  grpc::ClientContext context;
  v1::GetDatasetRequest request;
  request.set_name("datasets/none");
  v1::GetDatasetResponse response;
  const grpc::Status status = client_->datasets->GetDataset(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(Detail(status, kResourcePayload), HasSubstr("datasets/none"));
  EXPECT_EQ(Delete("datasets/none").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Delete("nonsense").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Write("datasets/none", "x", 0, 1).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Write("", "x", 0, 1).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(DatasetServiceTest, SecondWriterIsAborted) {
  ASSERT_TRUE(Create(TableOf("d", 4, 1)).ok());
  grpc::ClientContext context;
  v1::WriteDatasetResponse response;
  const auto writer = client_->datasets->WriteDataset(&context, &response);
  v1::WriteDatasetRequest chunk;
  chunk.set_name("datasets/d");
  chunk.set_data("12345678");
  ASSERT_TRUE(writer->Write(chunk));
  while (Get("datasets/d").committed_size() == 0) {
  }
  EXPECT_EQ(Write("datasets/d", "12345678", 8, 8).error_code(), grpc::StatusCode::ABORTED);
  writer->WritesDone();
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_TRUE(Write("datasets/d", "12345678", 8, 8).ok());
}

TEST_F(DatasetServiceTest, ReadBeforeActiveOrBeyondTheEndIsRefused) {
  ASSERT_TRUE(Create(TableOf("d", 2, 1)).ok());
  const auto read = [this](int64_t offset) {
    grpc::ClientContext context;
    v1::ReadDatasetRequest request;
    request.set_name("datasets/d");
    request.set_offset(offset);
    const auto reader = client_->datasets->ReadDataset(&context, request);
    v1::ReadDatasetResponse chunk;
    while (reader->Read(&chunk)) {
    }
    return reader->Finish().error_code();
  };
  EXPECT_EQ(read(0), grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Write("datasets/d", Bytes({1, 2}), 0, 100).ok());
  EXPECT_EQ(read(0), grpc::StatusCode::OK);
  EXPECT_EQ(read(17), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(read(-1), grpc::StatusCode::OUT_OF_RANGE);
}

}  // namespace
}  // namespace emserve::server
