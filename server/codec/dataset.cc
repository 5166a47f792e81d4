#include "server/codec/dataset.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/status.h"
#include "server/codec/fields.h"
#include "server/codec/inline_table.h"
#include "server/digest.h"
#include "server/names.h"

namespace emserve::server {
namespace {

constexpr std::array kKinds = {
    std::pair(v1::COLUMN_KIND_REAL, ColumnKind::kReal),
    std::pair(v1::COLUMN_KIND_COUNT, ColumnKind::kCount),
    std::pair(v1::COLUMN_KIND_CATEGORICAL, ColumnKind::kCategorical),
};

v1::Dataset::State EncodeState(DatasetState state) {
  switch (state) {
    case DatasetState::kUploading:
      return v1::Dataset::STATE_UPLOADING;
    case DatasetState::kActive:
      return v1::Dataset::STATE_ACTIVE;
    case DatasetState::kFailed:
      return v1::Dataset::STATE_FAILED;
  }
  return v1::Dataset::STATE_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<ColumnSchema> DecodeColumn(const v1::Column& column, const std::string& path) {
  ColumnSchema schema;
  schema.name = column.name();
  schema.levels.assign(column.levels().begin(), column.levels().end());
  if (column.kind() == v1::COLUMN_KIND_UNSPECIFIED) return schema;
  for (const auto& [wire, kind] : kKinds) {
    if (wire != column.kind()) continue;
    schema.kind = kind;
    return schema;
  }
  return UnknownEnum(absl::StrCat(path, ".kind"), *v1::ColumnKind_descriptor(), column.kind());
}

void EncodeColumn(const ColumnSchema& schema, v1::Column& column) {
  column.set_name(schema.name);
  for (const auto& [wire, kind] : kKinds) {
    if (kind == schema.kind) column.set_kind(wire);
  }
  column.mutable_levels()->Assign(schema.levels.begin(), schema.levels.end());
}

absl::StatusOr<NewDataset> DecodeCreateDataset(const v1::CreateDatasetRequest& request) {
  const v1::Dataset& dataset = request.dataset();
  NewDataset out;
  out.id = request.dataset_id();
  out.schema.num_rows = dataset.num_rows();
  absl::StatusOr<ElementType> type =
      DecodeElementType(dataset.element_type(), "dataset.element_type");
  if (!type.ok()) return type.status();
  out.schema.type = *type;
  for (int c = 0; c < dataset.columns_size(); ++c) {
    absl::StatusOr<ColumnSchema> column =
        DecodeColumn(dataset.columns(c), absl::StrCat("dataset.columns[", c, "]"));
    if (!column.ok()) return column.status();
    out.schema.columns.push_back(*std::move(column));
  }
  out.sha256 = dataset.sha256();
  out.description = dataset.description();
  if (dataset.has_expire_time()) {
    absl::StatusOr<absl::Time> time = DecodeTime(dataset.expire_time(), "dataset.expire_time");
    if (!time.ok()) return time.status();
    out.expire_time = *time;
  }
  out.request_id = request.request_id();
  out.request_digest = Sha256Hex(request.SerializeAsString());
  out.validate_only = request.validate_only();
  return out;
}

void EncodeDataset(const DatasetInfo& info, v1::Dataset& dataset) {
  dataset.set_name(DatasetName(info.id));
  dataset.set_state(EncodeState(info.state));
  for (size_t c = 0; c < info.schema->columns.size(); ++c) {
    v1::Column& column = *dataset.add_columns();
    EncodeColumn(info.schema->columns[c], column);
    if (info.content == nullptr) continue;
    const ColumnSummary& from = info.content->summaries[c];
    v1::ColumnSummary& to = *column.mutable_summary();
    to.set_num_missing(from.num_missing);
    to.set_num_infinite(from.num_infinite);
    to.set_minimum(from.minimum);
    to.set_maximum(from.maximum);
    to.set_mean(from.mean);
    to.set_variance(from.variance);
    to.set_first_non_finite_row(from.first_non_finite_row);
  }
  dataset.set_num_rows(info.schema->num_rows);
  dataset.set_element_type(EncodeElementType(info.schema->type));
  dataset.set_size_bytes(info.size_bytes);
  dataset.set_committed_size(info.committed_size);
  dataset.set_sha256(info.sha256);
  EncodeTime(info.create_time, *dataset.mutable_create_time());
  if (info.expire_time != absl::InfiniteFuture())
    EncodeTime(info.expire_time, *dataset.mutable_expire_time());
  if (!info.error.ok()) *dataset.mutable_error() = ToProto(info.error);
  dataset.set_description(info.description);
}

}  // namespace emserve::server
