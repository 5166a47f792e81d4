#include "server/datasets/dataset_store.h"

#include <atomic>
#include <latch>
#include <limits>
#include <thread>

#include "server/digest.h"
#include "server/errors.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

class DatasetStoreTest : public testing::Test {
 protected:
  DatasetStoreTest() { Restart({}); }

  void Restart(DatasetStoreOptions options) {
    options.clock = clock_.get();
    store_ = std::make_unique<DatasetStore>(std::move(options), executor_);
  }

  static NewDataset Request(const std::string& id, int64_t num_rows) {
    NewDataset request;
    request.id = id;
    request.schema = RealColumns({"x"}, num_rows);
    return request;
  }

  FakeClock clock_;
  Executor executor_{2, 100};
  std::unique_ptr<DatasetStore> store_;
};

TEST(Sha256Test, MatchesPublishedDigests) {
  // FIPS 180-4 examples.
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_F(DatasetStoreTest, SealsWhenTheLastByteHasArrived) {
  const std::string bytes = Packed<double>({1, 2, 3, 4});
  const absl::StatusOr<DatasetInfo> info = Upload(*store_, "d", RealColumns({"x", "y"}, 2), bytes);
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->state, DatasetState::kActive);
  EXPECT_EQ(info->committed_size, 32);
  EXPECT_EQ(info->sha256, Sha256Hex(bytes));
  EXPECT_EQ(info->create_time, clock_.Now());
  const auto content = *store_->Content("d");
  EXPECT_EQ(content->bytes(), bytes);
  EXPECT_EQ(content->name, "datasets/d");
  EXPECT_EQ(content->summaries[1].mean, 3);
  EXPECT_EQ(content->FindColumn("y"), 1);
  EXPECT_EQ(content->FindColumn("z"), -1);
}

TEST_F(DatasetStoreTest, TakesChunksThatEndAnywhere) {
  constexpr int64_t kRows = 300000;
  Random random(3, 0);
  std::vector<double> cells(kRows * 5);
  for (double& cell : cells) cell = random.Normal();
  const std::string bytes = Packed(cells);  // 12 MB: followed in several tasks while it arrives
  NewDataset request = Request("d", kRows);
  request.schema = RealColumns({"a", "b", "c", "d", "e"}, kRows);
  request.sha256 = Sha256Hex(bytes);
  ASSERT_THAT(store_->Create(request), IsOk());
  size_t offset = 0;
  while (offset < bytes.size()) {
    // A new writer each time, as after a broken stream.
    auto writer = store_->OpenWriter("d");
    ASSERT_THAT(writer, IsOk());
    EXPECT_EQ((*writer)->committed_size(), static_cast<int64_t>(offset));
    const size_t size = std::min<size_t>(1 + random.Below(1 << 20), bytes.size() - offset);
    ASSERT_THAT((*writer)->Append(static_cast<int64_t>(offset),
                                  std::string_view(bytes).substr(offset, size)),
                IsOk());
    offset += size;
  }
  const absl::StatusOr<DatasetInfo> info = WaitSealed(*store_, "d");
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->state, DatasetState::kActive) << info->error;
  EXPECT_EQ(info->content->bytes(), bytes);
}

TEST_F(DatasetStoreTest, RefusesAWrongOffsetAndSaysTheRightOne) {
  ASSERT_THAT(store_->Create(Request("d", 4)), IsOk());
  auto writer = *store_->OpenWriter("d");
  ASSERT_THAT(writer->Append(0, "0123456789"), IsOk());
  for (const int64_t offset :
       {int64_t{0}, int64_t{9}, int64_t{11}, int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
    const absl::Status status = writer->Append(offset, "x");
    EXPECT_THAT(status, FailsWith(StatusCode::kOutOfRange, "must be 10"));
    EXPECT_EQ(MetadataOf(status, "committed_size"), "10");
  }
  EXPECT_EQ(writer->committed_size(), 10);
  EXPECT_FALSE(writer->complete());
}

TEST_F(DatasetStoreTest, RefusesMoreBytesThanWereDeclared) {
  ASSERT_THAT(store_->Create(Request("d", 2)), IsOk());
  auto writer = *store_->OpenWriter("d");
  EXPECT_THAT(writer->Append(0, std::string(17, 'x')),
              FailsWith(StatusCode::kInvalidArgument, "data: got 17 bytes"));
  EXPECT_EQ(writer->committed_size(), 0);
  EXPECT_THAT(writer->Append(0, ""), IsOk());
}

TEST_F(DatasetStoreTest, AllowsOneWriterAtATime) {
  ASSERT_THAT(store_->Create(Request("d", 2)), IsOk());
  auto writer = store_->OpenWriter("d");
  EXPECT_THAT(store_->OpenWriter("d"), FailsWith(StatusCode::kAborted, "datasets/d"));
  writer->reset();
  EXPECT_THAT(store_->OpenWriter("d"), IsOk());
}

TEST_F(DatasetStoreTest, ASealedDatasetCannotBeWritten) {
  ASSERT_THAT(Upload(*store_, "d", RealColumns({"x"}, 1), Packed<double>({1})), IsOk());
  auto writer = *store_->OpenWriter("d");
  EXPECT_TRUE(writer->complete());
  EXPECT_THAT(writer->Append(8, ""), FailsWith(StatusCode::kFailedPrecondition, "complete"));
}

TEST_F(DatasetStoreTest, FailsOnAnotherDigestAndOnCellsThatContradictTheirKind) {
  NewDataset request = Request("d", 1);
  request.sha256 = std::string(64, '0');
  ASSERT_THAT(store_->Create(request), IsOk());
  ASSERT_THAT((*store_->OpenWriter("d"))->Append(0, Packed<double>({1})), IsOk());
  absl::StatusOr<DatasetInfo> info = WaitSealed(*store_, "d");
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->state, DatasetState::kFailed);
  EXPECT_THAT(info->error, FailsWith(StatusCode::kInvalidArgument, "sha256: got 000"));
  EXPECT_THAT(store_->Content("d"), FailsWith(StatusCode::kFailedPrecondition, "refused"));

  DatasetSchema counts = RealColumns({"n"}, 1);
  counts.columns[0].kind = ColumnKind::kCount;
  info = Upload(*store_, "e", counts, Packed<double>({1.5}));
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->state, DatasetState::kFailed);
  EXPECT_THAT(info->error, FailsWith(StatusCode::kInvalidArgument, "columns[n]: got 1.5 in row 0"));
}

TEST_F(DatasetStoreTest, AFailedContentGivesItsMemoryBack) {
  DatasetSchema counts = RealColumns({"n"}, 100000);
  counts.columns[0].kind = ColumnKind::kCount;
  const int64_t before = store_->used_bytes();
  const auto info = Upload(*store_, "e", counts, Packed(std::vector<double>(100000, 1.5)));
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->state, DatasetState::kFailed);
  executor_.Stop();  // the sealing task has let go
  EXPECT_EQ(store_->used_bytes(), before);
}

TEST_F(DatasetStoreTest, RefusesContentBeforeItIsActive) {
  ASSERT_THAT(store_->Create(Request("d", 4)), IsOk());
  const auto content = store_->Content("d");
  EXPECT_THAT(content, FailsWith(StatusCode::kFailedPrecondition, "0 of its 32 bytes"));
  EXPECT_EQ(ReasonOf(content.status()), "DATASET_NOT_ACTIVE");
  EXPECT_THAT(store_->Content("nope"), FailsWith(StatusCode::kNotFound, "datasets/nope"));
}

TEST_F(DatasetStoreTest, RefusesBadRequestsWithThePath) {
  const auto refused = [&](auto change, const char* text) {
    NewDataset request = Request("d", 4);
    change(request);
    EXPECT_THAT(store_->Create(request), FailsWith(StatusCode::kInvalidArgument, text));
  };
  refused([](NewDataset& r) { r.id = "Bad Id"; }, "dataset_id: ");
  refused([](NewDataset& r) { r.schema.num_rows = 0; }, "num_rows: ");
  refused([](NewDataset& r) { r.sha256 = "abc"; }, "sha256: ");
  refused([](NewDataset& r) { r.sha256 = std::string(64, 'A'); }, "sha256: ");
  refused([&](NewDataset& r) { r.expire_time = clock_.Now(); }, "expire_time: ");
  refused([](NewDataset& r) { r.description = std::string(1025, 'x'); }, "description: ");
  refused([](NewDataset& r) { r.request_id = std::string(129, 'x'); }, "request_id: ");
  EXPECT_EQ(store_->used_bytes(), 0);
}

TEST_F(DatasetStoreTest, RefusesATakenId) {
  ASSERT_THAT(store_->Create(Request("d", 4)), IsOk());
  EXPECT_THAT(store_->Create(Request("d", 4)), FailsWith(StatusCode::kAlreadyExists, "datasets/d"));
}

TEST_F(DatasetStoreTest, ChoosesAnIdWhenNoneIsGiven) {
  const auto a = store_->Create(Request("", 4));
  const auto b = store_->Create(Request("", 4));
  EXPECT_NE(a->id, b->id);
  EXPECT_THAT(store_->Get(a->id), IsOk());
}

TEST_F(DatasetStoreTest, OnlyValidatesWhenAskedTo) {
  NewDataset request = Request("d", 4);
  request.validate_only = true;
  EXPECT_THAT(store_->Create(request), IsOk());
  EXPECT_THAT(store_->Get("d"), FailsWith(StatusCode::kNotFound, "datasets/d"));
  EXPECT_EQ(store_->used_bytes(), 0);
}

TEST_F(DatasetStoreTest, RepeatsARequestWithTheSameKey) {
  NewDataset request = Request("", 4);
  request.request_id = "key";
  request.request_digest = "one";
  const auto first = store_->Create(request);
  clock_.Advance(absl::Seconds(5));
  const auto second = store_->Create(request);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->id, first->id);
  EXPECT_EQ(second->create_time, first->create_time);
  request.request_digest = "two";
  EXPECT_THAT(store_->Create(request), FailsWith(StatusCode::kInvalidArgument, "request_id"));
  ASSERT_THAT(store_->Delete(first->id), IsOk());
  EXPECT_NE(store_->Create(request)->id, first->id);  // forgotten with its dataset
}

TEST_F(DatasetStoreTest, BoundsTheMemoryOfAllDatasets) {
  DatasetStoreOptions options;
  options.max_bytes = 2000000;
  Restart(options);
  ASSERT_THAT(store_->Create(Request("a", 125000)), IsOk());  // 1 MB
  const auto full = store_->Create(Request("b", 125000));
  EXPECT_THAT(full, FailsWith(StatusCode::kResourceExhausted, "delete datasets"));
  EXPECT_EQ(ReasonOf(full.status()), "DATASET_MEMORY_FULL");
  EXPECT_TRUE(RetryDelayOf(full.status()).has_value());
  EXPECT_THAT(store_->Create(Request("c", int64_t{1} << 55)),
              FailsWith(StatusCode::kResourceExhausted, ""));
  ASSERT_THAT(store_->Delete("a"), IsOk());
  EXPECT_EQ(store_->used_bytes(), 0);
  EXPECT_THAT(store_->Create(Request("b", 125000)), IsOk());
}

TEST_F(DatasetStoreTest, CountsLargeSchemasToo) {
  DatasetStoreOptions options;
  options.max_bytes = 1000000;
  Restart(options);
  NewDataset request = Request("a", 1);
  request.schema.columns[0].kind = ColumnKind::kCategorical;
  for (int i = 0; i < 20000; ++i) {
    request.schema.columns[0].levels.push_back(std::string(60, 'x') + std::to_string(i));
  }
  EXPECT_THAT(store_->Create(request), FailsWith(StatusCode::kResourceExhausted, ""));
}

TEST_F(DatasetStoreTest, BoundsTheNumberOfDatasets) {
  DatasetStoreOptions options;
  options.max_datasets = 2;
  Restart(options);
  ASSERT_THAT(store_->Create(Request("a", 1)), IsOk());
  ASSERT_THAT(store_->Create(Request("b", 1)), IsOk());
  const auto full = store_->Create(Request("c", 1));
  EXPECT_EQ(ReasonOf(full.status()), "TOO_MANY_DATASETS");
}

TEST_F(DatasetStoreTest, WhoHoldsTheContentKeepsItAfterDelete) {
  const std::string bytes = Packed(std::vector<double>(100000, 7.0));
  ASSERT_THAT(Upload(*store_, "d", RealColumns({"x"}, 100000), bytes), IsOk());
  std::shared_ptr<const DatasetContent> content = *store_->Content("d");
  ASSERT_THAT(store_->Delete("d"), IsOk());
  EXPECT_THAT(store_->Get("d"), FailsWith(StatusCode::kNotFound, ""));
  executor_.Stop();
  EXPECT_EQ(content->bytes(), bytes);
  EXPECT_GE(store_->used_bytes(), 800000);
  content.reset();
  EXPECT_EQ(store_->used_bytes(), 0);
  EXPECT_THAT(store_->Delete("d"), FailsWith(StatusCode::kNotFound, ""));
}

TEST_F(DatasetStoreTest, DeletingDuringAnUploadEndsIt) {
  ASSERT_THAT(store_->Create(Request("d", 4)), IsOk());
  auto writer = *store_->OpenWriter("d");
  ASSERT_THAT(writer->Append(0, "01234567"), IsOk());
  absl::Status heard;
  store_->WhenSealed("d", [&](absl::StatusOr<DatasetInfo> info) { heard = info.status(); });
  EXPECT_THAT(heard, IsOk());
  ASSERT_THAT(store_->Delete("d"), IsOk());
  EXPECT_THAT(heard, FailsWith(StatusCode::kNotFound, "datasets/d"));
  EXPECT_THAT(writer->Append(8, "x"), FailsWith(StatusCode::kNotFound, "datasets/d"));
}

TEST_F(DatasetStoreTest, WhenSealedAnswersAtOnceForWhatIsSealedOrUnknown) {
  ASSERT_THAT(Upload(*store_, "d", RealColumns({"x"}, 1), Packed<double>({1})), IsOk());
  int calls = 0;
  store_->WhenSealed("d", [&](absl::StatusOr<DatasetInfo> info) {
    ++calls;
    EXPECT_EQ(info->state, DatasetState::kActive);
  });
  store_->WhenSealed("nope", [&](absl::StatusOr<DatasetInfo> info) {
    ++calls;
    EXPECT_THAT(info, FailsWith(StatusCode::kNotFound, ""));
  });
  EXPECT_EQ(calls, 2);
}

TEST_F(DatasetStoreTest, ForgetsWhatHasExpired) {
  NewDataset request = Request("d", 1);
  request.expire_time = clock_.Now() + absl::Hours(1);
  ASSERT_THAT(store_->Create(request), IsOk());
  ASSERT_THAT(store_->Create(Request("e", 1)), IsOk());
  EXPECT_EQ(store_->Sweep(), request.expire_time);
  clock_.Advance(absl::Minutes(59));
  EXPECT_THAT(store_->Get("d"), IsOk());
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(store_->Get("d"), FailsWith(StatusCode::kNotFound, ""));
  EXPECT_EQ(store_->Sweep(), absl::InfiniteFuture());
  EXPECT_THAT(store_->Get("e"), IsOk());
}

TEST_F(DatasetStoreTest, SweepingFreesExpiredMemoryForNewDatasets) {
  DatasetStoreOptions options;
  options.max_bytes = 1000000;
  Restart(options);
  NewDataset request = Request("a", 100000);
  request.expire_time = clock_.Now() + absl::Hours(1);
  ASSERT_THAT(store_->Create(request), IsOk());
  EXPECT_THAT(store_->Create(Request("b", 100000)), FailsWith(StatusCode::kResourceExhausted, ""));
  clock_.Advance(absl::Hours(1));
  EXPECT_THAT(store_->Create(Request("b", 100000)), IsOk());
}

TEST_F(DatasetStoreTest, ForgetsUploadsThatNobodyContinues) {
  DatasetStoreOptions options;
  options.upload_timeout = absl::Hours(1);
  Restart(options);
  ASSERT_THAT(store_->Create(Request("idle", 4)), IsOk());
  ASSERT_THAT(Upload(*store_, "done", RealColumns({"x"}, 1), Packed<double>({1})), IsOk());
  clock_.Advance(absl::Minutes(50));
  ASSERT_THAT((*store_->OpenWriter("idle"))->Append(0, "x"), IsOk());
  clock_.Advance(absl::Minutes(50));
  EXPECT_THAT(store_->Get("idle"), IsOk());
  clock_.Advance(absl::Minutes(10));
  EXPECT_THAT(store_->Get("idle"), FailsWith(StatusCode::kNotFound, ""));
  EXPECT_THAT(store_->Get("done"), IsOk());
}

TEST_F(DatasetStoreTest, ListsByNameInPages) {
  for (const char* id : {"c", "a", "e", "b", "d"}) {
    ASSERT_THAT(store_->Create(Request(id, 1)), IsOk());
  }
  std::string seen;
  PageRequest request{2, ""};
  int pages = 0;
  do {
    const auto page = store_->List(request);
    ASSERT_THAT(page, IsOk());
    for (const DatasetInfo& info : page->items) seen += info.id;
    request.page_token = page->next_page_token;
    ++pages;
    if (pages == 1) {
      ASSERT_THAT(store_->Delete("b"), IsOk());  // a token holds though its item is gone
    }
  } while (!request.page_token.empty());
  EXPECT_EQ(seen, "abcde");
  EXPECT_EQ(pages, 3);
  EXPECT_TRUE(store_->List({5, ""})->next_page_token.empty());
  EXPECT_THAT(store_->List({-1, ""}), FailsWith(StatusCode::kInvalidArgument, "page_size"));
  EXPECT_THAT(store_->List({0, "x"}), FailsWith(StatusCode::kInvalidArgument, "page_token"));
}

TEST_F(DatasetStoreTest, ADraftIsInvisibleUntilPublished) {
  auto draft = store_->NewDraft(Request("d", 2));
  ASSERT_THAT(draft, IsOk());
  EXPECT_THAT(store_->Get("d"), FailsWith(StatusCode::kNotFound, ""));
  EXPECT_TRUE(store_->List({})->items.empty());
  EXPECT_THAT(store_->Create(Request("d", 2)), FailsWith(StatusCode::kAlreadyExists, ""));
  const std::string bytes = Packed<double>({3, 5});
  std::memcpy((*draft)->bytes().data(), bytes.data(), bytes.size());
  clock_.Advance(absl::Seconds(3));
  const auto info = store_->Publish(*std::move(draft), {});
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->state, DatasetState::kActive);
  EXPECT_EQ(info->sha256, Sha256Hex(bytes));
  EXPECT_EQ(info->create_time, clock_.Now());
  EXPECT_EQ((*store_->Content("d"))->summaries[0].mean, 4);
  EXPECT_EQ(store_->List({})->items.size(), 1u);
}

TEST_F(DatasetStoreTest, ADroppedOrCancelledDraftLeavesNothing) {
  { ASSERT_THAT(store_->NewDraft(Request("d", 2)), IsOk()); }
  EXPECT_EQ(store_->used_bytes(), 0);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(store_->Publish(*store_->NewDraft(Request("d", 2)), stop.get_token()),
              FailsWith(StatusCode::kCancelled, ""));
  EXPECT_EQ(store_->used_bytes(), 0);
  EXPECT_THAT(store_->Create(Request("d", 2)), IsOk());
}

TEST_F(DatasetStoreTest, SealsEvenWhenTheExecutorsQueueIsFull) {
  Gate gate;
  Executor busy(1, 1);
  ASSERT_THAT(busy.Submit([&] { gate.Wait(); }), IsOk());
  while (busy.Submit([] {}).ok()) {
  }
  DatasetStoreOptions options;
  options.clock = clock_.get();
  DatasetStore store(options, busy);
  ASSERT_THAT(store.Create(Request("d", 1)), IsOk());
  ASSERT_THAT((*store.OpenWriter("d"))->Append(0, Packed<double>({1})), IsOk());
  gate.Open();
  EXPECT_EQ(WaitSealed(store, "d")->state, DatasetState::kActive);
}

// A dataset that is deleted between being found and being read is not found, rather than empty.
TEST_F(DatasetStoreTest, ContentThatIsDeletedMeanwhileIsNotFound) {
  const std::string bytes = Packed<double>({1});
  std::atomic<bool> done = false;
  std::jthread reader([&] {
    while (!done) {
      if (auto content = store_->Content("d"); content.ok()) {
        ASSERT_NE(*content, nullptr);
        EXPECT_EQ((*content)->bytes(), bytes);
      }
    }
  });
  for (int i = 0; i < 3000; ++i) {
    ASSERT_THAT(store_->Create(Request("d", 1)), IsOk());
    ASSERT_THAT((*store_->OpenWriter("d"))->Append(0, bytes), IsOk());
    ASSERT_THAT(WaitSealed(*store_, "d"), IsOk());
    ASSERT_THAT(store_->Delete("d"), IsOk());
  }
  done = true;
}

// Uploads, deletions, reads and sweeps of the same names at once; at the end all memory is free.
TEST_F(DatasetStoreTest, RacingCallersLeaveNothingBehind) {
  constexpr int kThreads = 6;
  constexpr int kRounds = 60;
  const std::string bytes = Packed(std::vector<double>(4096, 2.0));
  std::atomic<int> sealed = 0;
  std::vector<std::jthread> threads;
  std::latch start(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      for (int i = 0; i < kRounds; ++i) {
        const std::string id = "d" + std::to_string((t + i) % 4);
        (void)store_->Create(Request(id, 4096));
        if (auto writer = store_->OpenWriter(id); writer.ok()) {
          const int64_t at = (*writer)->committed_size();
          (void)(*writer)->Append(at,
                                  std::string_view(bytes).substr(static_cast<size_t>(at), 20000));
        }
        store_->WhenSealed(id, [&](absl::StatusOr<DatasetInfo> info) {
          if (!info.ok()) return;
          ++sealed;
          EXPECT_EQ(info->state, DatasetState::kActive);
        });
        if (auto content = store_->Content(id); content.ok()) {
          EXPECT_EQ((*content)->bytes(), bytes);
        }
        if (i % 3 == 0) (void)store_->Delete(id);
        (void)store_->List({});
        store_->Sweep();
      }
    });
  }
  threads.clear();
  for (int d = 0; d < 4; ++d) (void)store_->Delete("d" + std::to_string(d));
  executor_.Stop();
  EXPECT_EQ(store_->used_bytes(), 0);
  EXPECT_GT(sealed, 0);
}

}  // namespace
}  // namespace emserve::server
