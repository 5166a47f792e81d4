#include "server/datasets/dataset_record.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/names.h"

namespace emserve::server {
namespace {

// Following starts when this much has piled up, gives way to other tasks of the executor after a
// while, and reads in pieces that stay in cache from the digest to the summary.
constexpr int64_t kFollowBytes = int64_t{4} << 20;
constexpr int64_t kTaskBytes = int64_t{64} << 20;
constexpr int64_t kPieceBytes = int64_t{256} << 10;

constexpr absl::Duration kRetryDelay = absl::Seconds(5);

}  // namespace

absl::StatusOr<std::shared_ptr<DatasetMemory>> DatasetMemory::Map(
    int64_t size, int64_t overhead, std::shared_ptr<MemoryBudget> budget) {
  int64_t reserved = 0;
  if (__builtin_add_overflow(size, overhead, &reserved) || reserved > budget->max_bytes()) {
    return ResourceExhausted(
        "DATASET_TOO_LARGE", "max_dataset_bytes",
        absl::StrCat("num_rows: got a dataset of ", size, " bytes, must fit the ",
                     budget->max_bytes(), " bytes that all datasets may take"),
        absl::ZeroDuration());
  }
  if (!budget->Reserve(reserved)) {
    return ResourceExhausted(
        "DATASET_MEMORY_FULL", "max_dataset_bytes",
        absl::StrCat("num_rows: got a dataset of ", size, " bytes while ", budget->used(), " of ",
                     budget->max_bytes(), " are in use; delete datasets"),
        kRetryDelay);
  }
  void* const data = mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    budget->Release(reserved);
    return ResourceExhausted("DATASET_MEMORY_FULL", "max_dataset_bytes",
                             absl::StrCat("num_rows: got a dataset of ", size,
                                          " bytes, which the system has no room for"),
                             kRetryDelay);
  }
  madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);  // advice: may be refused
  return std::shared_ptr<DatasetMemory>(
      new DatasetMemory(static_cast<std::byte*>(data), size, reserved, std::move(budget)));
}

DatasetMemory::DatasetMemory(std::byte* data, int64_t size, int64_t reserved,
                             std::shared_ptr<MemoryBudget> budget)
    : data_(data), size_(size), reserved_(reserved), budget_(std::move(budget)) {}

DatasetMemory::~DatasetMemory() {
  munmap(data_, static_cast<size_t>(size_));
  budget_->Release(reserved_);
}

DatasetRecord::DatasetRecord(Options options, std::shared_ptr<DatasetMemory> memory)
    : options_(std::move(options)),
      data_(memory->data()),
      size_(memory->size()),
      hidden_(options_.draft),
      summarizer_(options_.schema, data_),
      memory_(std::move(memory)),
      create_time_(options_.create_time),
      last_append_(options_.create_time) {}

absl::StatusOr<DatasetInfo> DatasetRecord::Info() const {
  const std::lock_guard lock(mutex_);
  if (forgotten_) return NotFound(kDatasetType, DatasetName(options_.id));
  return InfoLocked();
}

DatasetInfo DatasetRecord::InfoLocked() const {
  DatasetInfo info;
  info.id = options_.id;
  info.state = state_;
  info.schema = options_.schema;
  info.size_bytes = size_;
  info.committed_size = committed_;
  info.sha256 = content_ != nullptr ? content_->sha256 : options_.declared_sha256;
  info.create_time = create_time_;
  info.expire_time = options_.expire_time;
  info.error = error_;
  info.description = options_.description;
  info.content = content_;
  return info;
}

absl::Status DatasetRecord::Lease() {
  const std::lock_guard lock(mutex_);
  if (leased_) {
    return WithResource(
        WithReason(absl::AbortedError(absl::StrCat(DatasetName(options_.id),
                                                   ": another upload is writing to it; wait until "
                                                   "it has ended")),
                   "DATASET_BEING_WRITTEN"),
        kDatasetType, DatasetName(options_.id));
  }
  leased_ = true;
  return absl::OkStatus();
}

void DatasetRecord::EndLease() {
  const std::lock_guard lock(mutex_);
  leased_ = false;
}

int64_t DatasetRecord::committed_size() const {
  const std::lock_guard lock(mutex_);
  return committed_;
}

absl::Status DatasetRecord::Append(int64_t offset, std::string_view bytes, absl::Time now,
                                   Executor& executor) {
  const std::string name = DatasetName(options_.id);
  std::shared_ptr<DatasetMemory> memory;  // kept while bytes are copied, whatever happens meanwhile
  {
    const std::lock_guard lock(mutex_);
    if (forgotten_) return NotFound(kDatasetType, name);
    if (state_ != DatasetState::kUploading) {
      return FailedPrecondition("DATASET_SEALED", kDatasetType, name,
                                "its content is complete and can no longer be written");
    }
    if (offset != committed_) {
      return WithMetadata(
          absl::OutOfRangeError(absl::StrCat("write_offset: got ", offset, ", must be ", committed_,
                                             ", the committed size")),
          "committed_size", absl::StrCat(committed_));
    }
    if (static_cast<int64_t>(bytes.size()) > size_ - committed_) {
      return InvalidArgument("data", absl::StrCat("got ", bytes.size(), " bytes at offset ", offset,
                                                  ", must be at most ", size_ - committed_,
                                                  ", the rest of the declared size"));
    }
    memory = memory_;
  }
  if (bytes.empty()) return absl::OkStatus();
  std::memcpy(data_ + offset, bytes.data(), bytes.size());
  {
    const std::lock_guard lock(mutex_);
    committed_ = offset + static_cast<int64_t>(bytes.size());
    last_append_ = now;
    if (following_ || (committed_ < size_ && committed_ - follow_from_ < kFollowBytes)) {
      return absl::OkStatus();
    }
    following_ = true;
  }
  executor.Post([self = shared_from_this(), &executor] { self->Follow(executor); });
  return absl::OkStatus();
}

void DatasetRecord::Follow(Executor& executor) {
  std::shared_ptr<DatasetMemory> memory;
  const int64_t pause = followed_ + kTaskBytes;
  while (true) {
    int64_t target = 0;
    {
      const std::lock_guard lock(mutex_);
      if (forgotten_) return;
      memory = memory_;
      follow_from_ = followed_;
      if (followed_ == committed_ && committed_ < size_) {
        following_ = false;
        return;
      }
      target = committed_;
    }
    if (followed_ == size_) return Seal();
    if (followed_ >= pause) {
      executor.Post([self = shared_from_this(), &executor] { self->Follow(executor); });
      return;
    }
    if (!Read(std::min(target, pause), [this] { return forgotten_.load(); })) return;
  }
}

bool DatasetRecord::Read(int64_t target, const std::function<bool()>& stop) {
  while (followed_ < target) {
    if (stop()) return false;
    const int64_t piece = std::min(kPieceBytes, target - followed_);
    sha256_.Update({reinterpret_cast<const char*>(data_ + followed_), static_cast<size_t>(piece)});
    followed_ += piece;
    summarizer_.Advance(followed_);
  }
  return true;
}

void DatasetRecord::Seal() {
  std::string sha256 = sha256_.Finish();
  absl::Status error = summarizer_.CheckKinds();
  if (!options_.declared_sha256.empty() && sha256 != options_.declared_sha256) {
    error = InvalidArgument("sha256",
                            absl::StrCat("got ", options_.declared_sha256, ", must be ", sha256,
                                         ", the digest of the content that arrived; "
                                         "delete the dataset and upload it again"));
  }
  auto content = std::make_shared<DatasetContent>();
  content->name = DatasetName(options_.id);
  content->schema = options_.schema;
  content->summaries = summarizer_.Finish();
  content->sha256 = std::move(sha256);
  content->cells.bytes = data_;
  content->cells.type = options_.schema->type;
  content->cells.num_rows = options_.schema->num_rows;
  content->cells.num_columns = static_cast<int>(options_.schema->columns.size());

  std::vector<Done> waiting;
  std::shared_ptr<DatasetMemory> unused;  // of a refused content, freed outside the lock
  DatasetInfo info;
  {
    const std::lock_guard lock(mutex_);
    if (forgotten_) return;  // who waited has been told
    if (error.ok()) {
      content->cells.owner = memory_;
      content_ = std::move(content);
      state_ = DatasetState::kActive;
    } else {
      error_ = std::move(error);
      state_ = DatasetState::kFailed;
    }
    unused = std::move(memory_);
    waiting = std::move(waiting_);
    info = InfoLocked();
  }
  for (const Done& done : waiting) done(info);
}

void DatasetRecord::WhenSealed(Done done) {
  absl::StatusOr<DatasetInfo> now = absl::UnknownError("");
  {
    const std::lock_guard lock(mutex_);
    if (forgotten_) {
      now = NotFound(kDatasetType, DatasetName(options_.id));
    } else if (state_ == DatasetState::kUploading) {
      waiting_.push_back(std::move(done));
      return;
    } else {
      now = InfoLocked();
    }
  }
  done(std::move(now));
}

absl::Time DatasetRecord::ForgetTime(absl::Duration upload_timeout) const {
  const std::lock_guard lock(mutex_);
  if (hidden_) return absl::InfiniteFuture();  // its maker is writing
  if (state_ != DatasetState::kUploading) return options_.expire_time;
  return std::min(options_.expire_time, last_append_ + upload_timeout);
}

void DatasetRecord::Forget() {
  std::vector<Done> waiting;
  std::shared_ptr<DatasetMemory> memory;
  std::shared_ptr<const DatasetContent> content;
  {
    const std::lock_guard lock(mutex_);
    forgotten_ = true;
    waiting = std::move(waiting_);
    memory = std::move(memory_);
    content = std::move(content_);
  }
  for (const Done& done : waiting) done(NotFound(kDatasetType, DatasetName(options_.id)));
}

absl::Status DatasetRecord::SealDraft(absl::Time now, std::stop_token stop) {
  if (!Read(size_, [&stop] { return stop.stop_requested(); })) {
    return absl::CancelledError("stop was requested");
  }
  {
    const std::lock_guard lock(mutex_);
    committed_ = size_;
    create_time_ = now;
  }
  Seal();
  const std::lock_guard lock(mutex_);
  if (error_.ok()) hidden_ = false;
  return error_;
}

}  // namespace emserve::server
