#include "server/codec/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "proto/wire/tensor.h"
#include "server/codec/dataset.h"
#include "server/codec/fields.h"
#include "server/codec/model_spec.h"
#include "server/codec/parameters.h"
#include "server/codec/report.h"
#include "server/digest.h"
#include "server/errors.h"
#include "server/jobs/fit_memory.h"
#include "server/names.h"

namespace emserve::server {
namespace {

constexpr std::string_view kMagic = "EMSERVE1";
constexpr size_t kDigestBytes = 32;
constexpr size_t kHeaderBytes = kMagic.size() + 8 + kDigestBytes;
constexpr int kMaxDepth = 32;  // of messages inside messages; a version has about ten

constexpr size_t kMaxNoteBytes = 128;
constexpr char kPath[] = "model_version";

// The figures of the training data, in the columns' summaries. A column without an observed cell
// has no extremes.
void EncodeSummary(const Summary& from, size_t c, v1::ColumnSummary& to) {
  const bool seen = from.minimum[c] <= from.maximum[c];
  to.set_minimum(seen ? from.minimum[c] : 0);
  to.set_maximum(seen ? from.maximum[c] : 0);
  to.set_mean(from.mean[c]);
  to.set_variance(from.variance[c]);
  to.set_first_non_finite_row(-1);
  if (!from.complete()) to.set_observed(from.observed[c]);
}

// The inverse, of a file whose columns have been checked.
absl::StatusOr<Summary> DecodeSummary(const v1::ModelVersion& version) {
  Summary summary;
  summary.num_rows = version.num_rows();
  if (!(summary.num_rows >= 1)) {
    return InvalidArgument(absl::StrCat(kPath, ".num_rows"),
                           absl::StrCat("got ", summary.num_rows, ", must be 1 or more"));
  }
  summary.num_weighted_rows = summary.num_rows;
  summary.total_weight = version.report().criteria().num_observations();
  if (!(summary.total_weight > 0) || !std::isfinite(summary.total_weight)) {
    return InvalidArgument(
        absl::StrCat(kPath, ".report.criteria.num_observations"),
        absl::StrCat("got ", summary.total_weight, ", must be positive and finite"));
  }
  bool any_missing = false;
  for (int c = 0; c < version.columns_size(); ++c) {
    const v1::ColumnSummary& column = version.columns(c).summary();
    for (const double value :
         {column.mean(), column.variance(), column.minimum(), column.maximum()}) {
      if (std::isfinite(value) && column.variance() >= 0) continue;
      return InvalidArgument(
          absl::StrCat(kPath, ".columns[", c, "].summary"),
          absl::StrCat("got mean ", column.mean(), ", variance ", column.variance(), ", minimum ",
                       column.minimum(), ", maximum ", column.maximum(),
                       ", must be finite and the variance 0 or more"));
    }
    const double observed = column.has_observed() ? column.observed() : 1;
    if (!(observed >= 0 && observed <= 1)) {
      return InvalidArgument(absl::StrCat(kPath, ".columns[", c, "].summary.observed"),
                             absl::StrCat("got ", observed, ", must be in [0, 1]"));
    }
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    summary.mean.push_back(column.mean());
    summary.variance.push_back(column.variance());
    summary.minimum.push_back(observed > 0 ? column.minimum() : kInfinity);
    summary.maximum.push_back(observed > 0 ? column.maximum() : -kInfinity);
    summary.observed.push_back(observed);
    any_missing = any_missing || column.has_observed();
  }
  if (!any_missing) summary.observed.clear();
  return summary;
}

// Core's refusal of the specification or the columns of a file, under the field of the file.
absl::Status OfModel(const absl::Status& status, const ModelOptions& options) {
  const std::string message(status.message());
  const size_t end = std::min(message.find(':'), message.size());
  const std::string field = ModelSpecField(options, std::string_view(message).substr(0, end));
  return absl::InvalidArgumentError(
      field.empty() ? absl::StrCat(kPath, ".", message)
                    : absl::StrCat(kPath, ".spec.model.", field, message.substr(end)));
}

// A figure of each state, if the model has it.
void AddDerived(const char* name, const std::vector<double>& values, v1::ModelVersion& out) {
  if (values.empty()) return;
  v1::NamedTensor& derived = *out.add_derived();
  derived.set_name(name);
  const auto size = static_cast<int64_t>(values.size());
  EncodeTensor(std::span(values), std::span(&size, 1), /*packed=*/false, *derived.mutable_tensor());
}

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("data: ", std::string(what), "; export the model version again"));
}

}  // namespace

void EncodeModel(const ModelLine& line, v1::Model& model) {
  model.set_name(ModelName(line.id));
  EncodeTime(line.create_time, *model.mutable_create_time());
  EncodeTime(line.update_time, *model.mutable_update_time());
  model.set_latest_version(line.versions.empty() ? 0 : line.versions.back()->number);
  model.set_num_versions(static_cast<int64_t>(line.versions.size()));
  model.mutable_aliases()->insert(line.aliases.begin(), line.aliases.end());
  model.mutable_tags()->insert(line.tags.begin(), line.tags.end());
}

void EncodeModelVersion(const ResolvedVersion& resolved, bool parameters, v1::ModelVersion& out) {
  const ModelVersion& version = *resolved.version;
  out.set_name(version.name());
  EncodeTime(version.create_time, *out.mutable_create_time());
  out.set_family(std::string(FamilyName(version.options)));
  if (!out.mutable_spec()->ParseFromString(version.spec)) out.clear_spec();
  for (size_t c = 0; c < version.columns.size(); ++c) {
    v1::Column& column = *out.add_columns();
    EncodeColumn(version.columns[c], column);
    EncodeSummary(version.summary, c, *column.mutable_summary());
  }
  if (parameters) {
    EncodeParameters(version.theta, version.predictor->model().parameters(),
                     *out.mutable_parameters());
    AddDerived("expected_durations", version.predictor->expected_durations(), out);
    AddDerived("stationary", version.predictor->stationary(), out);
  }
  EncodeReport(*version.report, *out.mutable_report());
  if (!version.job.empty()) out.set_job(JobName(version.job));
  out.set_dataset_sha256(version.dataset_sha256);
  out.set_server_version(version.server_version);
  for (const std::string& alias : resolved.line->AliasesOf(version.number)) out.add_aliases(alias);
  const Tags tags = resolved.line->TagsOf(version.number);
  out.mutable_tags()->insert(tags.begin(), tags.end());
  out.set_imported(version.imported);
  out.set_num_rows(version.summary.num_rows);
}

void EncodeAuditEntry(const AuditEntry& entry, v1::ModelAuditEntry& out) {
  EncodeTime(entry.time, *out.mutable_event_time());
  out.set_action(entry.action);
  out.set_subject(entry.subject);
  out.set_old_value(entry.old_value);
  out.set_new_value(entry.new_value);
}

std::string EncodeModelFile(const ResolvedVersion& resolved) {
  v1::ModelVersion version;
  EncodeModelVersion(resolved, true, version);
  // Names, jobs, aliases and tags belong to the registry it comes from.
  version.clear_name();
  version.clear_job();
  version.clear_aliases();
  version.clear_tags();
  version.clear_imported();
  version.clear_derived();  // from the parameters, again, where it is imported
  const std::string payload = version.SerializeAsString();
  const uint64_t length = payload.size();
  std::string file(kMagic);
  file.append(reinterpret_cast<const char*>(&length), sizeof(length));
  file.append(absl::HexStringToBytes(Sha256Hex(payload)));
  file.append(payload);
  return file;
}

absl::StatusOr<ModelVersion> DecodeModelFile(std::string_view file) {
  if (file.size() < kHeaderBytes || file.substr(0, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError(
        "data: got bytes that do not begin as a model file, must be a file made by "
        "ExportModelVersion");
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data() + kMagic.size(), sizeof(length));
  const std::string_view digest = file.substr(kMagic.size() + sizeof(length), kDigestBytes);
  const std::string_view payload = file.substr(kHeaderBytes);
  if (payload.size() != length) {
    return Damaged(absl::StrCat("got ", payload.size(), " bytes of payload, must be ", length));
  }
  if (Sha256Hex(payload) !=
      absl::BytesToHexString(absl::string_view(digest.data(), digest.size()))) {
    return Damaged("its SHA-256 does not match");
  }

  v1::ModelVersion wire;
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(payload.data()),
                                                static_cast<int>(payload.size()));
  stream.SetRecursionLimit(kMaxDepth);
  if (!wire.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage()) {
    return absl::InvalidArgumentError("model_version: the payload is no v1.ModelVersion");
  }
  ModelVersion version;
  absl::StatusOr<ModelOptions> options =
      DecodeModelSpec(wire.spec().model(), absl::StrCat(kPath, ".spec.model"));
  if (!options.ok()) return options.status();
  version.options = *std::move(options);
  if (wire.columns().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(kPath, ".columns: got none, must be 1 or more"));
  }
  DatasetSchema schema;
  schema.num_rows = 1;
  for (int c = 0; c < wire.columns_size(); ++c) {
    absl::StatusOr<ColumnSchema> column =
        DecodeColumn(wire.columns(c), absl::StrCat(kPath, ".columns[", c, "]"));
    if (!column.ok()) return column.status();
    schema.columns.push_back(*std::move(column));
  }
  if (absl::StatusOr<int64_t> size = CheckSchema(schema); !size.ok())
    return Under(kPath, size.status());
  version.columns = std::move(schema.columns);
  absl::StatusOr<Summary> summary = DecodeSummary(wire);
  if (!summary.ok()) return summary.status();
  version.summary = *std::move(summary);
  auto report = std::make_shared<FitReport>();
  if (absl::Status status = DecodeReport(wire.report(), absl::StrCat(kPath, ".report"), *report);
      !status.ok()) {
    return status;
  }
  version.report = std::move(report);

  // The layout decides what arrays there must be.
  absl::StatusOr<std::unique_ptr<Model>> model =
      MakeModel(Bare(version.options), version.summary, version.column_names());
  if (!model.ok()) return OfModel(model.status(), version.options);
  absl::StatusOr<std::vector<double>> theta = DecodeParameters(
      wire.parameters(), (*model)->parameters(), absl::StrCat(kPath, ".parameters"));
  if (!theta.ok()) return theta.status();
  version.theta = *std::move(theta);
  const size_t num_separations = version.report->criteria.separation.size();
  const int num_components = NumComponents(version.options);
  if (num_separations != 0 && num_separations != static_cast<size_t>(num_components)) {
    return InvalidArgument(absl::StrCat(kPath, ".report.criteria.separation"),
                           absl::StrCat("got ", num_separations, " entries, must be ",
                                        num_components, ", one per component, or none"));
  }
  absl::StatusOr<std::shared_ptr<const Predictor>> predictor =
      Predictor::Create(version.options, version.summary, version.column_names(), version.theta);
  if (!predictor.ok()) {
    const std::string message(predictor.status().message());
    for (const std::string_view option :
         {"constraints", "allowed_transitions", "initial: got a stationary"}) {
      if (message.starts_with(option)) return OfModel(predictor.status(), version.options);
    }
    return absl::InvalidArgumentError(absl::StrCat(kPath, ".parameters.", message));
  }
  version.predictor = *std::move(predictor);
  for (const auto& [field, text] : {std::pair("dataset_sha256", &wire.dataset_sha256()),
                                    std::pair("server_version", &wire.server_version())}) {
    if (text->size() <= kMaxNoteBytes) continue;
    return InvalidArgument(
        absl::StrCat(kPath, ".", field),
        absl::StrCat("got ", text->size(), " bytes, must be at most ", kMaxNoteBytes));
  }
  version.spec = wire.spec().SerializeAsString();
  version.dataset_sha256 = wire.dataset_sha256();
  version.server_version = wire.server_version();
  version.imported = true;
  return version;
}

}  // namespace emserve::server
