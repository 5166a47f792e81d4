// One dataset inside the store: its memory, its bytes as they arrive, and its sealing.
#ifndef EMSERVE_SERVER_DATASETS_DATASET_RECORD_H_
#define EMSERVE_SERVER_DATASETS_DATASET_RECORD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/datasets/dataset.h"
#include "server/datasets/summarizer.h"
#include "server/digest.h"
#include "server/executor.h"
#include "server/memory_budget.h"

namespace emserve::server {

// Anonymous memory of a fixed size, zero at first; the system commits pages as they are touched.
// Counted against a budget, with `overhead` bytes on top, until destroyed.
class DatasetMemory {
 public:
  // RESOURCE_EXHAUSTED, also when the system refuses.
  static absl::StatusOr<std::shared_ptr<DatasetMemory>> Map(int64_t size, int64_t overhead,
                                                            std::shared_ptr<MemoryBudget> budget);
  ~DatasetMemory();
  DatasetMemory(const DatasetMemory&) = delete;
  DatasetMemory& operator=(const DatasetMemory&) = delete;

  std::byte* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  DatasetMemory(std::byte* data, int64_t size, int64_t reserved,
                std::shared_ptr<MemoryBudget> budget);
  std::byte* const data_;
  const int64_t size_;
  const int64_t reserved_;
  const std::shared_ptr<MemoryBudget> budget_;
};

// Thread-safe.
class DatasetRecord : public std::enable_shared_from_this<DatasetRecord> {
 public:
  using Done = std::function<void(absl::StatusOr<DatasetInfo>)>;

  struct Options {
    std::string id;
    std::shared_ptr<const DatasetSchema> schema;
    std::string declared_sha256;
    absl::Time create_time;
    absl::Time expire_time;
    std::string description;
    std::string request_id;
    std::string request_digest;
    bool draft = false;
  };
  DatasetRecord(Options options, std::shared_ptr<DatasetMemory> memory);

  const Options& options() const { return options_; }
  // Whether only its maker may know of it.
  bool hidden() const { return hidden_; }

  // NOT_FOUND once it has been forgotten.
  absl::StatusOr<DatasetInfo> Info() const;

  // See DatasetStore::OpenWriter and DatasetWriter::Append.
  absl::Status Lease();
  void EndLease();
  absl::Status Append(int64_t offset, std::string_view bytes, absl::Time now, Executor& executor);
  int64_t committed_size() const;
  int64_t size() const { return size_; }

  // See DatasetStore::WhenSealed.
  void WhenSealed(Done done);

  // When it is to be forgotten.
  absl::Time ForgetTime(absl::Duration upload_timeout) const;
  // It has been forgotten: whoever waits hears NOT_FOUND, its memory goes with its last user.
  void Forget();

  // Of a draft: where to write.
  std::span<std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }
  // Seals a draft on this thread. Cancelled.
  absl::Status SealDraft(absl::Time now, std::stop_token stop);

 private:
  // Digests and summarises committed bytes until it has caught up, and seals when that was the
  // last.
  void Follow(Executor& executor);
  // Reads bytes [followed_, target). False if `stop` returns true.
  bool Read(int64_t target, const std::function<bool()>& stop);
  void Seal();
  DatasetInfo InfoLocked() const;

  const Options options_;
  std::byte* const data_;
  const int64_t size_;
  std::atomic<bool> hidden_;
  std::atomic<bool> forgotten_{false};

  // Used by one thread at a time: whoever has set following_.
  int64_t followed_ = 0;
  Sha256 sha256_;
  Summarizer summarizer_;

  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<DatasetMemory> memory_;
  DatasetState state_ = DatasetState::kUploading;
  int64_t committed_ = 0;
  int64_t follow_from_ = 0;  // bytes that were followed when followed last
  bool following_ = false;
  bool leased_ = false;
  absl::Time create_time_;
  absl::Time last_append_;
  absl::Status error_;
  std::shared_ptr<const DatasetContent> content_;
  std::vector<Done> waiting_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_DATASETS_DATASET_RECORD_H_
