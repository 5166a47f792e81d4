// The datasets of one server: created with their shape, appended to, sealed, listed, forgotten.
//
// Memory is anonymous and mapped at creation in full size, committed by the system as bytes arrive,
// and counted against one budget, with the schema, until the last holder of the content lets go.
// While bytes arrive, the executor follows behind: it digests and summarises what is there, so that
// sealing takes no second look at the data.
#ifndef EMSERVE_SERVER_DATASETS_DATASET_STORE_H_
#define EMSERVE_SERVER_DATASETS_DATASET_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/clock.h"
#include "server/datasets/dataset.h"
#include "server/executor.h"
#include "server/memory_budget.h"
#include "server/page.h"

namespace emserve::server {

class DatasetRecord;  // one dataset, defined by the store

struct DatasetStoreOptions {
  int64_t max_bytes = int64_t{1} << 30;  // of all contents together, those still held by jobs too
  int64_t max_datasets = 10000;
  // An upload that no byte was added to for this long is forgotten.
  absl::Duration upload_timeout = absl::InfiniteDuration();
  Clock clock = nullptr;  // required
};

struct NewDataset {
  std::string id;  // empty: chosen by the store
  DatasetSchema schema;
  std::string sha256;  // declared digest in lower-case hexadecimal; empty: none
  absl::Time expire_time = absl::InfiniteFuture();
  std::string description;
  std::string request_id;      // idempotency key; empty: none
  std::string request_digest;  // what "the same content" means for the key, e.g. Sha256Hex(request)
  bool validate_only = false;
};

class DatasetStore;

// The right to append to one dataset; one at a time. Thread-compatible; given back on destruction.
class DatasetWriter {
 public:
  ~DatasetWriter();
  DatasetWriter(const DatasetWriter&) = delete;
  DatasetWriter& operator=(const DatasetWriter&) = delete;

  // Copies `bytes` behind the committed ones. The last byte starts the sealing.
  //
  // OUT_OF_RANGE (metadata "committed_size") when `offset` is not the committed size;
  // INVALID_ARGUMENT under "data" when there are more bytes than were declared; NOT_FOUND when the
  // dataset was deleted meanwhile; FAILED_PRECONDITION when it is not UPLOADING. Nothing of the
  // chunk is kept then. Checksums of chunks are the caller's to verify.
  absl::Status Append(int64_t offset, std::string_view bytes);

  int64_t committed_size() const;
  // True once every byte has arrived.
  bool complete() const;
  // Gives the right to append back and then calls `done` once with the dataset that was written to,
  // whatever its name means by now: at once if bytes are missing, else as DatasetStore::WhenSealed.
  // Nothing may be appended afterwards.
  void Close(std::function<void(absl::StatusOr<DatasetInfo>)> done);

 private:
  friend class DatasetStore;
  DatasetWriter(std::shared_ptr<DatasetRecord> record, Executor& executor, Clock clock);
  const std::shared_ptr<DatasetRecord> record_;
  Executor& executor_;
  const Clock clock_;
  bool open_ = true;
};

// A dataset that the server itself makes: its id and memory are reserved, nobody sees it until it
// is published. Dropping the draft frees both. Threads may write to distinct bytes at once.
class DatasetDraft {
 public:
  ~DatasetDraft();
  DatasetDraft(const DatasetDraft&) = delete;
  DatasetDraft& operator=(const DatasetDraft&) = delete;

  const std::string& id() const;
  const DatasetSchema& schema() const;
  std::span<std::byte> bytes();  // zero at first, 64-byte aligned

 private:
  friend class DatasetStore;
  DatasetDraft(DatasetStore& store, std::shared_ptr<DatasetRecord> record);
  DatasetStore& store_;
  const std::shared_ptr<DatasetRecord> record_;
};

// Thread-safe.
class DatasetStore {
 public:
  // `executor` outlives the store.
  DatasetStore(DatasetStoreOptions options, Executor& executor);
  ~DatasetStore();
  DatasetStore(const DatasetStore&) = delete;
  DatasetStore& operator=(const DatasetStore&) = delete;

  // Declares a dataset and reserves its memory. Repeating a request_id with the same digest returns
  // the first one's dataset.
  //
  // INVALID_ARGUMENT (paths relative to a Dataset: "columns[0].name", "num_rows", "sha256",
  // "expire_time", "description"; also "dataset_id", "request_id"), ALREADY_EXISTS,
  // RESOURCE_EXHAUSTED (reasons DATASET_TOO_LARGE, DATASET_MEMORY_FULL, TOO_MANY_DATASETS).
  absl::StatusOr<DatasetInfo> Create(const NewDataset& request);

  // Takes the right to append. NOT_FOUND; ABORTED while another writer holds it. A dataset that is
  // no longer UPLOADING gives a writer too, which refuses to append: an upload whose last answer
  // was lost ends well when it is resumed.
  absl::StatusOr<std::unique_ptr<DatasetWriter>> OpenWriter(std::string_view id);

  // Calls `done` once when the dataset has left UPLOADING, or with NOT_FOUND when it is deleted
  // before; on this thread if that is so already, else on a thread of the executor or of the
  // deleter. `done` must not block.
  void WhenSealed(std::string_view id, std::function<void(absl::StatusOr<DatasetInfo>)> done);

  // NOT_FOUND.
  absl::StatusOr<DatasetInfo> Get(std::string_view id);
  // The content. NOT_FOUND; FAILED_PRECONDITION (reason DATASET_NOT_ACTIVE) unless ACTIVE.
  absl::StatusOr<std::shared_ptr<const DatasetContent>> Content(std::string_view id);
  // By id, ascending.
  absl::StatusOr<Page<DatasetInfo>> List(const PageRequest& request);
  // Forgets a dataset in any state. NOT_FOUND.
  absl::Status Delete(std::string_view id);

  // Reserves id and memory for a dataset made here. Errors as Create.
  absl::StatusOr<std::unique_ptr<DatasetDraft>> NewDraft(const NewDataset& request);
  // Seals `draft` on the calling thread and makes it visible, ACTIVE. Cancelled when `stop` is
  // requested: the draft is then dropped. O(bytes).
  absl::StatusOr<DatasetInfo> Publish(std::unique_ptr<DatasetDraft> draft, std::stop_token stop);

  // Forgets what has expired by now and returns when the next one will.
  absl::Time Sweep();

  // Bytes reserved now.
  int64_t used_bytes() const;

 private:
  friend class DatasetDraft;
  using Records = std::map<std::string, std::shared_ptr<DatasetRecord>, std::less<>>;

  absl::StatusOr<std::shared_ptr<DatasetRecord>> Reserve(const NewDataset& request, bool draft);
  absl::StatusOr<std::shared_ptr<DatasetRecord>> Find(std::string_view id);
  absl::StatusOr<std::shared_ptr<DatasetRecord>> FindRequestLocked(const NewDataset& request);
  void DropDraft(const DatasetRecord& record);
  Records::iterator EraseLocked(Records::iterator record);

  const DatasetStoreOptions options_;
  Executor& executor_;
  const std::shared_ptr<MemoryBudget> budget_;
  std::mutex mutex_;  // guards the two maps; never held while data is touched
  Records records_;   // by id
  std::map<std::string, std::string, std::less<>> requests_;  // request_id -> id
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_DATASETS_DATASET_STORE_H_
