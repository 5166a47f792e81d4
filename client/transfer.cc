// Content in chunks: uploads and downloads of datasets, which resume where they broke, and the
// portable files of models.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/stubs.h"
#include "proto/wire/crc32c.h"
#include "proto/wire/tensor.h"

namespace emserve::client {
namespace {

// The upload goes on after these: a broken connection, another writer that the server has not yet
// given up (the broken stream itself), a damaged chunk, an offset that it sees differently.
bool IsResumable(const absl::Status& status) {
  return IsBrokenConnection(status) || absl::IsAborted(status) || absl::IsDataLoss(status) ||
         absl::IsOutOfRange(status);
}

size_t ChunkBytes(const TransferOptions& options) {
  return static_cast<size_t>(std::clamp(options.chunk_bytes, int64_t{1}, int64_t{4} << 20));
}

absl::Status StoppedOr(const std::stop_token& stop, const absl::Status& status) {
  return stop.stop_requested() ? absl::CancelledError("stopped on request") : status;
}

template <typename T>
double CellAt(const char* at) {
  T cell;
  std::memcpy(&cell, at, sizeof(T));
  return static_cast<double>(cell);
}

// Content that has not been refused, whatever its state; otherwise why it was.
absl::Status DatasetError(const v1::Dataset& dataset) {
  if (dataset.state() != v1::Dataset::STATE_FAILED) return absl::OkStatus();
  const absl::Status error = FromProto(dataset.error());
  return error.ok() ? absl::InternalError(absl::StrCat(dataset.name(), " failed without a reason"))
                    : error;
}

}  // namespace

absl::StatusOr<v1::Dataset> Client::Upload(const Table& table, const DatasetOptions& dataset,
                                           const TransferOptions& options) {
  v1::Dataset declaration;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    v1::Column& column = *declaration.add_columns();
    column.set_name(table.columns[c]);
    if (c >= table.levels.size() || table.levels[c].empty()) continue;
    column.set_kind(v1::COLUMN_KIND_CATEGORICAL);
    column.mutable_levels()->Add(table.levels[c].begin(), table.levels[c].end());
  }
  declaration.set_num_rows(table.num_rows);
  declaration.set_element_type(v1::ELEMENT_TYPE_FLOAT64);
  declaration.set_description(dataset.description);
  const std::string_view content(reinterpret_cast<const char*>(table.values.data()),
                                 table.values.size() * sizeof(double));
  return Upload(declaration, dataset.dataset_id, content, options);
}

absl::StatusOr<v1::Dataset> Client::Upload(const v1::Dataset& declaration,
                                           const std::string& dataset_id, std::string_view content,
                                           const TransferOptions& options) {
  v1::CreateDatasetRequest request;
  *request.mutable_dataset() = declaration;
  request.set_dataset_id(dataset_id);
  request.set_request_id(NewRequestId());
  auto created =
      stubs_->Call(stubs_->datasets, &v1::DatasetService::Stub::CreateDataset, request, true);
  if (!created.ok()) return created.status();
  const std::string name = created->dataset().name();
  absl::StatusOr<v1::Dataset> uploaded =
      FinishUpload(std::move(*created->mutable_dataset()), content, options);
  if (uploaded.ok() || IsBrokenConnection(uploaded.status())) return uploaded;
  // The status of the upload says more than that of the clean-up.
  DeleteDataset(name).IgnoreError();
  return uploaded;
}

absl::StatusOr<v1::Dataset> Client::ResumeUpload(const std::string& name, std::string_view content,
                                                 const TransferOptions& options) {
  absl::StatusOr<v1::Dataset> dataset = GetDataset(name);
  if (!dataset.ok()) return dataset;
  return FinishUpload(*std::move(dataset), content, options);
}

absl::StatusOr<v1::Dataset> Client::FinishUpload(v1::Dataset dataset, std::string_view content,
                                                 const TransferOptions& options) {
  const std::string name = dataset.name();
  if (static_cast<uint64_t>(dataset.size_bytes()) != content.size()) {
    return absl::InvalidArgumentError(absl::StrCat("content: got ", content.size(),
                                                   " bytes, must be the ", dataset.size_bytes(),
                                                   " that ", name, " declares"));
  }
  Retry retry(stubs_->options.retry, options.stop);
  while (dataset.state() == v1::Dataset::STATE_UPLOADING &&
         dataset.committed_size() < dataset.size_bytes()) {
    const int64_t committed = dataset.committed_size();
    absl::StatusOr<v1::Dataset> written = WriteOnce(name, committed, content, options);
    absl::Status failure = written.status();
    if (!failure.ok()) {
      if (!IsResumable(failure)) return failure;
      written = GetDataset(name);
      if (!written.ok()) return written;
    }
    dataset = *std::move(written);
    if (dataset.committed_size() > committed) {
      retry.Reset();
    } else if (failure.ok()) {
      failure = absl::UnavailableError(absl::StrCat(name, ": the upload does not get on"));
    }
    if (!failure.ok()) {
      if (absl::Status wait = retry.Wait(failure); !wait.ok()) return wait;
    }
  }
  absl::StatusOr<v1::Dataset> sealed = AwaitSealed(std::move(dataset), options.stop);
  if (!sealed.ok()) return sealed;
  if (absl::Status error = DatasetError(*sealed); !error.ok()) return error;
  return sealed;
}

absl::StatusOr<v1::Dataset> Client::WriteOnce(const std::string& name, int64_t offset,
                                              std::string_view content,
                                              const TransferOptions& options) {
  grpc::ClientContext context;
  const CancelOnStop cancel(options.stop, context);
  v1::WriteDatasetResponse response;
  const auto stream = stubs_->datasets.WriteDataset(&context, &response);
  const size_t chunk_bytes = ChunkBytes(options);
  v1::WriteDatasetRequest request;
  request.set_name(name);
  size_t at = static_cast<size_t>(offset);
  bool open = true;
  while (open && at < content.size()) {
    const std::string_view chunk = content.substr(at, chunk_bytes);
    request.set_write_offset(static_cast<int64_t>(at));
    request.set_data(chunk.data(), chunk.size());
    request.set_crc32c(Crc32c(chunk));
    open = stream->Write(request);
    request.clear_name();
    at += chunk.size();
    if (open && options.progress) {
      options.progress(static_cast<int64_t>(at), static_cast<int64_t>(content.size()));
    }
  }
  if (open) stream->WritesDone();
  const absl::Status status = FromGrpcStatus(stream->Finish());
  if (!status.ok()) return StoppedOr(options.stop, status);
  return std::move(*response.mutable_dataset());
}

absl::StatusOr<v1::Dataset> Client::AwaitSealed(v1::Dataset dataset, const std::stop_token& stop) {
  // Only after a break on the last chunk is this ever more than one look.
  absl::Duration pause = absl::Milliseconds(20);
  const absl::Time patience = absl::Now() + absl::Minutes(10);
  while (dataset.state() == v1::Dataset::STATE_UPLOADING) {
    if (absl::Now() > patience) {
      return absl::DeadlineExceededError(
          absl::StrCat(dataset.name(), ": all content is there, but it is not being sealed"));
    }
    if (absl::Status status = Sleep(pause, stop); !status.ok()) return status;
    pause = std::min(2 * pause, absl::Seconds(1));
    absl::StatusOr<v1::Dataset> now = GetDataset(dataset.name());
    if (!now.ok()) return now;
    dataset = *std::move(now);
  }
  return dataset;
}

absl::Status Client::Download(const std::string& name,
                              const std::function<absl::Status(std::string_view chunk)>& sink,
                              const TransferOptions& options) {
  const absl::StatusOr<v1::Dataset> dataset = GetDataset(name);
  if (!dataset.ok()) return dataset.status();
  const int64_t total = dataset->size_bytes();
  Retry retry(stubs_->options.retry, options.stop);
  int64_t done = 0;
  while (true) {
    grpc::ClientContext context;
    const CancelOnStop cancel(options.stop, context);
    v1::ReadDatasetRequest request;
    request.set_name(name);
    request.set_offset(done);
    const auto stream = stubs_->datasets.ReadDataset(&context, request);
    v1::ReadDatasetResponse chunk;
    absl::Status damage;
    while (stream->Read(&chunk)) {
      if (chunk.offset() != done || Crc32c(chunk.data()) != chunk.crc32c()) {
        damage = absl::DataLossError(absl::StrCat(name, ": a chunk at ", done, " is damaged"));
        context.TryCancel();
        break;
      }
      if (absl::Status status = sink(chunk.data()); !status.ok()) {
        context.TryCancel();
        stream->Finish();
        return status;
      }
      done += static_cast<int64_t>(chunk.data().size());
      retry.Reset();
      if (options.progress) options.progress(done, total);
    }
    absl::Status status = FromGrpcStatus(stream->Finish());
    if (!damage.ok()) status = damage;
    if (status.ok() && done == total) return absl::OkStatus();
    if (status.ok()) {
      status = absl::UnavailableError(absl::StrCat(name, ": ended at byte ", done, " of ", total));
    }
    if (!IsBrokenConnection(status) && !absl::IsDataLoss(status)) {
      return StoppedOr(options.stop, status);
    }
    if (absl::Status wait = retry.Wait(status); !wait.ok()) return wait;
  }
}

absl::StatusOr<Table> Client::DownloadTable(const std::string& name,
                                            const TransferOptions& options) {
  const absl::StatusOr<v1::Dataset> dataset = GetDataset(name);
  if (!dataset.ok()) return dataset.status();
  Table table;
  bool any_levels = false;
  for (const v1::Column& column : dataset->columns()) {
    table.columns.push_back(column.name());
    table.levels.emplace_back(column.levels().begin(), column.levels().end());
    any_levels = any_levels || !table.levels.back().empty();
  }
  if (!any_levels) table.levels.clear();
  table.num_rows = dataset->num_rows();
  const v1::ElementType type = dataset->element_type();
  const size_t size = static_cast<size_t>(WireElementSize(type));
  if (size == 0) {
    return absl::UnimplementedError(absl::StrCat(
        name, ".element_type: got ", static_cast<int>(type), ", which this client does not know"));
  }
  std::string rest;  // bytes of a cell that a chunk has cut
  const absl::Status status = Download(
      name,
      [&](std::string_view chunk) {
        rest += chunk;
        const size_t cells = rest.size() / size;
        for (size_t i = 0; i < cells; ++i) {
          const char* at = rest.data() + i * size;
          table.values.push_back(type == v1::ELEMENT_TYPE_FLOAT32 ? CellAt<float>(at)
                                 : type == v1::ELEMENT_TYPE_INT64 ? CellAt<int64_t>(at)
                                                                  : CellAt<double>(at));
        }
        rest.erase(0, cells * size);
        return absl::OkStatus();
      },
      options);
  if (!status.ok()) return status;
  if (static_cast<int64_t>(table.values.size()) != table.num_rows * table.num_columns()) {
    return absl::DataLossError(absl::StrCat(name, ": got ", table.values.size(), " cells, must be ",
                                            table.num_rows, " x ", table.num_columns()));
  }
  return table;
}

absl::StatusOr<std::string> Client::ExportModel(const std::string& version) {
  v1::ExportModelVersionRequest request;
  request.set_name(version);
  Retry retry(stubs_->options.retry, std::stop_token());
  while (true) {
    grpc::ClientContext context;
    const auto stream = stubs_->models.ExportModelVersion(&context, request);
    v1::ExportModelVersionResponse chunk;
    std::string file;
    while (stream->Read(&chunk)) file += chunk.data();
    const absl::Status status = FromGrpcStatus(stream->Finish());
    if (status.ok()) return file;
    if (!IsBrokenConnection(status)) return status;
    if (absl::Status wait = retry.Wait(status); !wait.ok()) return wait;
  }
}

absl::StatusOr<v1::ModelVersion> Client::ImportModel(const std::string& model_id,
                                                     std::string_view file) {
  constexpr size_t kChunkBytes = size_t{1} << 20;
  grpc::ClientContext context;
  v1::ImportModelVersionResponse response;
  const auto stream = stubs_->models.ImportModelVersion(&context, &response);
  v1::ImportModelVersionRequest request;
  request.set_model_id(model_id);
  bool open = true;
  do {
    const std::string_view chunk = file.substr(0, kChunkBytes);
    request.set_data(chunk.data(), chunk.size());
    open = stream->Write(request);
    request.clear_model_id();
    file.remove_prefix(chunk.size());
  } while (open && !file.empty());
  if (open) stream->WritesDone();
  const absl::Status status = FromGrpcStatus(stream->Finish());
  if (!status.ok()) return status;
  return std::move(*response.mutable_model_version());
}

}  // namespace emserve::client
