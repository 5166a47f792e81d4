#include "server/datasets/dataset_store.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/datasets/dataset_record.h"
#include "server/errors.h"
#include "server/names.h"

namespace emserve::server {
namespace {

constexpr size_t kMaxDescriptionBytes = 1024;
constexpr size_t kDigestLetters = 64;
constexpr char kListName[] = "datasets";
constexpr absl::Duration kRetryDelay = absl::Seconds(5);

// What is kept beside the cells, bytes: schemas come from outside and may be large.
int64_t Overhead(const DatasetSchema& schema) {
  int64_t bytes = 4096;
  for (const ColumnSchema& column : schema.columns) {
    bytes +=
        static_cast<int64_t>(sizeof(ColumnSchema) + 4 * sizeof(ColumnSummary) + column.name.size());
    for (const std::string& level : column.levels) {
      bytes += static_cast<int64_t>(sizeof(std::string) + level.size());
    }
  }
  return bytes;
}

absl::StatusOr<int64_t> Check(const NewDataset& request, absl::Time now) {
  if (!request.id.empty()) {
    if (absl::Status status = CheckId("dataset_id", request.id); !status.ok()) return status;
  }
  if (absl::Status status = CheckRequestId(request.request_id); !status.ok()) return status;
  absl::StatusOr<int64_t> size = CheckSchema(request.schema);
  if (!size.ok()) return size;
  if (!request.sha256.empty() &&
      (request.sha256.size() != kDigestLetters ||
       request.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)) {
    return InvalidArgument("sha256", "got something else, must be 64 of [0-9a-f]");
  }
  if (!(request.expire_time > now)) {
    return InvalidArgument(
        "expire_time",
        absl::StrCat("got ", absl::FormatTime(request.expire_time), ", must be in the future"));
  }
  if (request.description.size() > kMaxDescriptionBytes) {
    return InvalidArgument(
        "description", absl::StrCat("got ", request.description.size(), " bytes, must be at most ",
                                    kMaxDescriptionBytes));
  }
  return size;
}

}  // namespace

DatasetWriter::DatasetWriter(std::shared_ptr<DatasetRecord> record, Executor& executor, Clock clock)
    : record_(std::move(record)), executor_(executor), clock_(std::move(clock)) {}

DatasetWriter::~DatasetWriter() {
  if (open_) record_->EndLease();
}

absl::Status DatasetWriter::Append(int64_t offset, std::string_view bytes) {
  return record_->Append(offset, bytes, clock_(), executor_);
}

int64_t DatasetWriter::committed_size() const { return record_->committed_size(); }

void DatasetWriter::Close(std::function<void(absl::StatusOr<DatasetInfo>)> done) {
  const bool sealing = complete();
  open_ = false;
  record_->EndLease();
  sealing ? record_->WhenSealed(std::move(done)) : done(record_->Info());
}

bool DatasetWriter::complete() const { return record_->committed_size() == record_->size(); }

DatasetDraft::DatasetDraft(DatasetStore& store, std::shared_ptr<DatasetRecord> record)
    : store_(store), record_(std::move(record)) {}

DatasetDraft::~DatasetDraft() {
  if (record_->hidden()) store_.DropDraft(*record_);
}

const std::string& DatasetDraft::id() const { return record_->options().id; }
const DatasetSchema& DatasetDraft::schema() const { return *record_->options().schema; }
std::span<std::byte> DatasetDraft::bytes() { return record_->bytes(); }

DatasetStore::DatasetStore(DatasetStoreOptions options, Executor& executor)
    : options_(std::move(options)),
      executor_(executor),
      budget_(std::make_shared<MemoryBudget>(options_.max_bytes)) {}

DatasetStore::~DatasetStore() {
  for (const auto& [id, record] : records_) record->Forget();
}

absl::StatusOr<DatasetInfo> DatasetStore::Create(const NewDataset& request) {
  absl::StatusOr<std::shared_ptr<DatasetRecord>> record = Reserve(request, /*draft=*/false);
  if (!record.ok()) return record.status();
  return (*record)->Info();
}

absl::StatusOr<std::unique_ptr<DatasetDraft>> DatasetStore::NewDraft(const NewDataset& request) {
  absl::StatusOr<std::shared_ptr<DatasetRecord>> record = Reserve(request, /*draft=*/true);
  if (!record.ok()) return record.status();
  return std::unique_ptr<DatasetDraft>(new DatasetDraft(*this, *std::move(record)));
}

absl::StatusOr<std::shared_ptr<DatasetRecord>> DatasetStore::FindRequestLocked(
    const NewDataset& request) {
  if (request.request_id.empty()) return nullptr;
  const auto id = requests_.find(request.request_id);
  if (id == requests_.end()) return nullptr;
  const std::shared_ptr<DatasetRecord>& record = records_.find(id->second)->second;
  if (record->options().request_digest != request.request_digest) {
    return InvalidArgument("request_id", "got a key that came with another request, must be new");
  }
  return record;
}

absl::StatusOr<std::shared_ptr<DatasetRecord>> DatasetStore::Reserve(const NewDataset& request,
                                                                     bool draft) {
  const absl::Time now = options_.clock();
  Sweep();
  {
    const std::lock_guard lock(mutex_);
    absl::StatusOr<std::shared_ptr<DatasetRecord>> known = FindRequestLocked(request);
    if (!known.ok() || *known != nullptr) return known;
  }
  absl::StatusOr<int64_t> size = Check(request, now);
  if (!size.ok()) return size.status();
  absl::StatusOr<std::shared_ptr<DatasetMemory>> memory =
      DatasetMemory::Map(*size, Overhead(request.schema), budget_);
  if (!memory.ok()) return memory.status();

  DatasetRecord::Options options;
  options.id = request.id.empty() ? NewId("dataset") : request.id;
  options.schema = std::make_shared<const DatasetSchema>(request.schema);
  options.declared_sha256 = request.sha256;
  options.create_time = now;
  options.expire_time = request.expire_time;
  options.description = request.description;
  options.request_id = request.request_id;
  options.request_digest = request.request_digest;
  options.draft = draft;
  auto record = std::make_shared<DatasetRecord>(std::move(options), *std::move(memory));

  const std::lock_guard lock(mutex_);
  absl::StatusOr<std::shared_ptr<DatasetRecord>> known = FindRequestLocked(request);
  if (!known.ok() || *known != nullptr) return known;
  const std::string& id = record->options().id;
  if (records_.contains(id)) return AlreadyExists(kDatasetType, DatasetName(id));
  if (static_cast<int64_t>(records_.size()) >= options_.max_datasets) {
    return ResourceExhausted("TOO_MANY_DATASETS", "max_datasets",
                             absl::StrCat("got one more dataset than the ", options_.max_datasets,
                                          " that may exist; delete datasets"),
                             kRetryDelay);
  }
  if (request.validate_only) return record;
  records_.emplace(id, record);
  if (!request.request_id.empty()) requests_.emplace(request.request_id, id);
  return record;
}

DatasetStore::Records::iterator DatasetStore::EraseLocked(Records::iterator record) {
  if (const std::string& request_id = record->second->options().request_id; !request_id.empty()) {
    requests_.erase(request_id);
  }
  return records_.erase(record);
}

void DatasetStore::DropDraft(const DatasetRecord& record) {
  std::shared_ptr<DatasetRecord> dropped;  // freed outside the lock
  const std::lock_guard lock(mutex_);
  const auto found = records_.find(record.options().id);
  if (found == records_.end() || found->second.get() != &record) return;  // only validated
  dropped = found->second;
  EraseLocked(found);
}

absl::StatusOr<std::shared_ptr<DatasetRecord>> DatasetStore::Find(std::string_view id) {
  const absl::Time now = options_.clock();
  std::shared_ptr<DatasetRecord> expired;
  {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(id);
    if (found == records_.end() || found->second->hidden()) {
      return NotFound(kDatasetType, DatasetName(id));
    }
    if (found->second->ForgetTime(options_.upload_timeout) > now) return found->second;
    expired = found->second;
    EraseLocked(found);
  }
  expired->Forget();
  return NotFound(kDatasetType, DatasetName(id));
}

absl::StatusOr<std::unique_ptr<DatasetWriter>> DatasetStore::OpenWriter(std::string_view id) {
  absl::StatusOr<std::shared_ptr<DatasetRecord>> record = Find(id);
  if (!record.ok()) return record.status();
  if (absl::Status status = (*record)->Lease(); !status.ok()) return status;
  return std::unique_ptr<DatasetWriter>(
      new DatasetWriter(*std::move(record), executor_, options_.clock));
}

void DatasetStore::WhenSealed(std::string_view id,
                              std::function<void(absl::StatusOr<DatasetInfo>)> done) {
  absl::StatusOr<std::shared_ptr<DatasetRecord>> record = Find(id);
  if (!record.ok()) return done(record.status());
  (*record)->WhenSealed(std::move(done));
}

absl::StatusOr<DatasetInfo> DatasetStore::Get(std::string_view id) {
  absl::StatusOr<std::shared_ptr<DatasetRecord>> record = Find(id);
  if (!record.ok()) return record.status();
  return (*record)->Info();
}

absl::StatusOr<std::shared_ptr<const DatasetContent>> DatasetStore::Content(std::string_view id) {
  absl::StatusOr<DatasetInfo> info = Get(id);
  if (!info.ok()) return info.status();
  if (info->state == DatasetState::kActive) return info->content;
  return FailedPrecondition(
      "DATASET_NOT_ACTIVE", kDatasetType, DatasetName(id),
      info->state == DatasetState::kFailed
          ? absl::StrCat("its content was refused (", std::string(info->error.message()),
                         "); upload another")
          : absl::StrCat("it has ", info->committed_size, " of its ", info->size_bytes,
                         " bytes; finish the upload"));
}

absl::StatusOr<Page<DatasetInfo>> DatasetStore::List(const PageRequest& request) {
  const absl::StatusOr<int> size = PageSize(request);
  if (!size.ok()) return size.status();
  const absl::StatusOr<std::string> after = DecodePageToken(kListName, request);
  if (!after.ok()) return after.status();
  Sweep();
  std::vector<std::shared_ptr<DatasetRecord>> records;
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = records_.upper_bound(*after); it != records_.end(); ++it) {
      if (it->second->hidden()) continue;
      more = static_cast<int>(records.size()) == *size;
      if (more) break;
      records.push_back(it->second);
    }
  }
  Page<DatasetInfo> page;
  for (const auto& record : records) {
    absl::StatusOr<DatasetInfo> info = record->Info();
    if (info.ok()) page.items.push_back(*std::move(info));  // else deleted just now
  }
  if (more) page.next_page_token = EncodePageToken(kListName, records.back()->options().id);
  return page;
}

absl::Status DatasetStore::Delete(std::string_view id) {
  absl::StatusOr<std::shared_ptr<DatasetRecord>> record = Find(id);
  if (!record.ok()) return record.status();
  {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(id);
    if (found == records_.end() || found->second != *record) {
      return NotFound(kDatasetType, DatasetName(id));
    }
    EraseLocked(found);
  }
  (*record)->Forget();
  return absl::OkStatus();
}

absl::StatusOr<DatasetInfo> DatasetStore::Publish(std::unique_ptr<DatasetDraft> draft,
                                                  std::stop_token stop) {
  const std::shared_ptr<DatasetRecord> record = draft->record_;
  if (absl::Status status = record->SealDraft(options_.clock(), std::move(stop)); !status.ok()) {
    return status;
  }
  return record->Info();
}

absl::Time DatasetStore::Sweep() {
  const absl::Time now = options_.clock();
  absl::Time next = absl::InfiniteFuture();
  std::vector<std::shared_ptr<DatasetRecord>> expired;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = records_.begin(); it != records_.end();) {
      const absl::Time forget = it->second->ForgetTime(options_.upload_timeout);
      if (forget > now) {
        next = std::min(next, forget);
        ++it;
      } else {
        expired.push_back(it->second);
        it = EraseLocked(it);
      }
    }
  }
  for (const auto& record : expired) record->Forget();
  return next;
}

int64_t DatasetStore::used_bytes() const { return budget_->used(); }

}  // namespace emserve::server
