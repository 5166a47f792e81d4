#include "server/codec/prediction.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/tensor.h"
#include "server/codec/fields.h"
#include "server/codec/inline_table.h"
#include "server/codec/job.h"
#include "server/codec/sequences.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr int64_t kAnswerMargin = 64 * 1024;  // names, shapes and framing

// Rows to draw, at most `most`: those of the lengths where their number is not given.
absl::StatusOr<int64_t> RowsToDraw(const v1::SampleRequest& request, int64_t most) {
  if (request.num_rows() != 0 || request.sequence_lengths().empty()) {
    if (request.num_rows() >= 1 && request.num_rows() <= most) return request.num_rows();
    return InvalidArgument("num_rows", absl::StrCat("got ", request.num_rows(), ", must be 1 to ",
                                                    most, ", so that the answer fits a message"));
  }
  int64_t num_rows = 0;
  for (int i = 0; i < request.sequence_lengths_size(); ++i) {
    const int64_t length = request.sequence_lengths(i);
    if (num_rows == most) {
      return InvalidArgument(
          "sequence_lengths",
          absl::StrCat("got ", request.sequence_lengths_size(), " of them, must be at most ", i,
                       ", whose rows are the ", most, " that an answer has room for"));
    }
    if (!(length >= 1 && length <= most - num_rows)) {
      return InvalidArgument(
          absl::StrCat("sequence_lengths[", i, "]"),
          absl::StrCat("got ", length, ", must be 1 to ", most - num_rows, ", what is left of the ",
                       most, " rows that an answer has room for"));
    }
    num_rows += length;
  }
  return num_rows;
}

// The sequences to draw, of `num_rows` rows together.
absl::StatusOr<Sequences> DecodeLengths(const ModelVersion& version,
                                        const v1::SampleRequest& request, int64_t num_rows) {
  if (!version.predictor->sequential()) {
    return InvalidArgument("sequence_lengths",
                           absl::StrCat("got some for ", version.name(), ", a ",
                                        std::string(FamilyName(version.options)),
                                        ", which has no sequences; must be absent"));
  }
  const int64_t num_lengths = request.sequence_lengths_size();
  if (num_lengths > num_rows) {
    return InvalidArgument("sequence_lengths",
                           absl::StrCat("got ", num_lengths, " of them, must be at most ", num_rows,
                                        ", the number of rows"));
  }
  absl::StatusOr<Sequences> sequences = Sequences::FromLengths(
      {request.sequence_lengths().data(), static_cast<size_t>(request.sequence_lengths_size())},
      num_rows);
  if (sequences.ok()) return sequences;
  return Reworded(sequences.status(),
                  absl::StrCat("sequence_", std::string(sequences.status().message())));
}

}  // namespace

bool IsQuick(const ModelVersion& version, const v1::PredictRequest& request) {
  constexpr size_t kRowBytes = 4096;
  constexpr size_t kCellBytes = 4;  // of the smallest element
  constexpr double kCost = 1 << 20;
  constexpr double kCostOfRow = 4096;  // of a row alone: it needs room of that order
  constexpr int kEntries = 1000;       // of lists beside the cells
  const v1::InlineTable& table = request.table();
  const v1::SequenceSpec& sequences = request.sequences();
  if (request.outputs_size() > kEntries) return false;
  // Far forecasts and many paths take longer than their rows tell.
  for (const int output : request.outputs()) {
    if (output == v1::PREDICTION_OUTPUT_BEST_PATHS) return false;
  }
  if (request.has_forecast_horizon()) return false;
  const size_t values = static_cast<size_t>(table.values().size());
  const double cells = static_cast<double>(table.data().size() / kCellBytes + values);
  const double rows = cells / static_cast<double>(std::max<size_t>(version.columns.size(), 1));
  const double cost = version.predictor->CostOfRow();
  return cost <= kCostOfRow && rows * cost <= kCost && table.columns_size() <= kEntries &&
         sequences.lengths().lengths_size() <= kEntries && sequences.weights_size() <= kEntries &&
         table.data().size() + sizeof(double) * values <= kRowBytes;
}

absl::Status PredictTable(const ModelVersion& version, const TableQuestion& question,
                          const PredictBounds& bounds, const std::function<bool()>& cancelled,
                          google::protobuf::RepeatedPtrField<v1::NamedTensor>& out) {
  absl::StatusOr<PredictionOutputs> wanted = DecodeOutputs(question.outputs, "");
  if (!wanted.ok()) return wanted.status();
  if (absl::Status status = version.predictor->CheckOutputs(*wanted); !status.ok()) return status;
  std::optional<SequenceSource> sequences;
  if (question.sequences != nullptr) {
    absl::StatusOr<SequenceSource> source =
        DecodeUnweightedSequences(*question.sequences, "sequences");
    if (!source.ok()) return source.status();
    sequences = *std::move(source);
  }
  // Without names the columns are the model's, unless their number says otherwise.
  absl::StatusOr<InlineTableData> data = DecodeInlineTable(
      question.table, nullptr,
      {.columns = version.column_names(), .max_bytes = bounds.max_table_bytes}, "table");
  if (!data.ok()) return data.status();
  absl::StatusOr<Table> rows =
      SelectColumns("table.columns", std::move(data->cells), data->columns, version, sequences);
  if (!rows.ok()) return rows.status();
  const int64_t row_bytes = int64_t{8} * version.predictor->NumOutputColumns(*wanted);
  if (const int64_t most = (bounds.max_answer_bytes - kAnswerMargin) / row_bytes;
      rows->num_rows() > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("table: got ", rows->num_rows(), " rows, must be at most ", most,
                     " with these outputs, so that the answer fits a message; send them in parts "
                     "or as a dataset"));
  }
  absl::StatusOr<Prediction> prediction =
      version.predictor->Predict(*rows, *wanted, cancelled, question.state);
  if (!prediction.ok()) {
    const std::string message(prediction.status().message());
    for (const char* field : {"outputs", "forecast_horizon", "num_paths"}) {
      if (message.starts_with(field)) return prediction.status();
    }
    return Under("table", prediction.status());
  }

  const int64_t num_rows = rows->num_rows();
  const auto add = [&](bool is_wanted, const char* name, const auto& values,
                       std::initializer_list<int64_t> shape) {
    if (!is_wanted) return;
    v1::NamedTensor& tensor = *out.Add();
    tensor.set_name(name);
    EncodeTensor(std::span(values), std::span(shape.begin(), shape.size()), question.packed,
                 *tensor.mutable_tensor());
  };
  const int64_t num_components = version.predictor->model().num_components();
  const int64_t num_columns = rows->num_columns();
  const int64_t num_sequences = rows->sequences() == nullptr ? 0 : rows->sequences()->size();
  add(wanted->labels, "labels", prediction->labels, {num_rows});
  add(wanted->posteriors, "posteriors", prediction->posteriors, {num_rows, num_components});
  add(wanted->log_densities, "log_densities", prediction->log_densities, {num_rows});
  add(wanted->imputed, "imputed", prediction->imputed, {num_rows, num_columns});
  add(wanted->imputed_variances, "imputed_variances", prediction->imputed_variances,
      {num_rows, num_columns});
  add(wanted->filtered, "filtered", prediction->filtered, {num_rows, num_components});
  add(wanted->decoded, "decoded", prediction->decoded, {num_rows});
  const bool forecasts_cells = wanted->forecasts && version.predictor->forecasts_cells();
  add(wanted->forecasts, "forecasts", prediction->forecasts, {num_rows, num_components});
  add(forecasts_cells, "forecast_means", prediction->forecast_means, {num_rows, num_columns});
  add(forecasts_cells, "forecast_variances", prediction->forecast_variances,
      {num_rows, num_columns});
  add(wanted->residuals, "residuals", prediction->residuals, {num_rows, num_columns});
  add(wanted->forecast_residuals, "forecast_residuals", prediction->forecast_residuals,
      {num_rows, num_columns});
  add(wanted->sequence_log_likelihoods, "sequence_log_likelihoods",
      prediction->sequence_log_likelihoods, {num_sequences});
  add(wanted->path_log_probabilities, "path_log_probabilities", prediction->path_log_probabilities,
      {num_sequences});
  add(wanted->best_paths, "best_paths", prediction->best_paths, {num_rows, wanted->num_paths});
  add(wanted->best_paths, "best_path_log_probabilities", prediction->best_path_log_probabilities,
      {num_sequences, wanted->num_paths});
  return absl::OkStatus();
}

absl::Status SampleRows(const ModelVersion& version, const v1::SampleRequest& request,
                        int64_t max_bytes, const std::function<bool()>& cancelled,
                        v1::SampleResponse& response) {
  const int64_t row_bytes = (int64_t{version.predictor->model().num_columns()} + 1) * 8;
  const int64_t most = std::max<int64_t>((max_bytes - kAnswerMargin) / row_bytes, 1);
  const absl::StatusOr<int64_t> num_rows = RowsToDraw(request, most);
  if (!num_rows.ok()) return num_rows.status();
  absl::StatusOr<Sequences> sequences = Sequences(*num_rows);
  if (request.sequence_lengths_size() > 0) {
    sequences = DecodeLengths(version, request, *num_rows);
    if (!sequences.ok()) return sequences.status();
  }
  absl::StatusOr<SampledRows> sample = version.predictor->Sample(
      *num_rows, request.has_seed() ? request.seed() : 0, cancelled, &*sequences);
  if (!sample.ok()) return sample.status();
  for (const ColumnSchema& column : version.columns) response.add_columns(column.name);
  const std::array<int64_t, 2> shape = {*num_rows, version.predictor->model().num_columns()};
  EncodeTensor(std::span<const double>(sample->rows), shape, request.packed(),
               *response.mutable_rows());
  EncodeTensor(std::span<const int64_t>(sample->labels), std::span<const int64_t>(shape.data(), 1),
               request.packed(), *response.mutable_labels());
  return absl::OkStatus();
}

}  // namespace emserve::server
