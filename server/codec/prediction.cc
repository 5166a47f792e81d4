#include "server/codec/prediction.h"

#include <array>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/tensor.h"
#include "server/codec/fields.h"
#include "server/codec/inline_table.h"
#include "server/codec/job.h"

namespace emserve::server {
namespace {

constexpr int64_t kAnswerMargin = 64 * 1024;  // names, shapes and framing

}  // namespace

absl::Status PredictTable(const ModelVersion& version, const v1::InlineTable& table,
                          const google::protobuf::RepeatedField<int>& outputs, bool packed,
                          const PredictBounds& bounds, const std::function<bool()>& cancelled,
                          google::protobuf::RepeatedPtrField<v1::NamedTensor>& out) {
  absl::StatusOr<PredictionOutputs> wanted = DecodeOutputs(outputs, "outputs");
  if (!wanted.ok()) return wanted.status();
  // Without names the columns are the model's, unless their number says otherwise.
  absl::StatusOr<InlineTableData> data = DecodeInlineTable(
      table, nullptr, {.columns = version.column_names(), .max_bytes = bounds.max_table_bytes},
      "table");
  if (!data.ok()) return data.status();
  absl::StatusOr<Table> rows =
      SelectColumns("table.columns", std::move(data->cells), data->columns, version);
  if (!rows.ok()) return rows.status();
  const int64_t row_bytes = int64_t{8} * version.predictor->NumOutputColumns(*wanted);
  if (const int64_t most = (bounds.max_answer_bytes - kAnswerMargin) / row_bytes;
      rows->num_rows() > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("table: got ", rows->num_rows(), " rows, must be at most ", most,
                     " with these outputs, so that the answer fits a message; send them in parts "
                     "or as a dataset"));
  }
  absl::StatusOr<Prediction> prediction = version.predictor->Predict(*rows, *wanted, cancelled);
  if (!prediction.ok()) {
    const std::string message(prediction.status().message());
    return message.starts_with("outputs") ? prediction.status()
                                          : Under("table", prediction.status());
  }

  const std::array<int64_t, 2> shape = {rows->num_rows(),
                                        version.predictor->model().num_components()};
  const std::span<const int64_t> vector(shape.data(), 1);
  const auto add = [&](const char* name) -> v1::Tensor& {
    v1::NamedTensor& tensor = *out.Add();
    tensor.set_name(name);
    return *tensor.mutable_tensor();
  };
  if (wanted->labels)
    EncodeTensor(std::span<const int64_t>(prediction->labels), vector, packed, add("labels"));
  if (wanted->posteriors) {
    EncodeTensor(std::span<const double>(prediction->posteriors), shape, packed, add("posteriors"));
  }
  if (wanted->log_densities) {
    EncodeTensor(std::span<const double>(prediction->log_densities), vector, packed,
                 add("log_densities"));
  }
  const std::array<int64_t, 2> cells = {rows->num_rows(), rows->num_columns()};
  if (wanted->imputed) {
    EncodeTensor(std::span<const double>(prediction->imputed), cells, packed, add("imputed"));
  }
  if (wanted->imputed_variances) {
    EncodeTensor(std::span<const double>(prediction->imputed_variances), cells, packed,
                 add("imputed_variances"));
  }
  return absl::OkStatus();
}

absl::Status SampleRows(const ModelVersion& version, const v1::SampleRequest& request,
                        int64_t max_bytes, const std::function<bool()>& cancelled,
                        v1::SampleResponse& response) {
  const int64_t row_bytes = (int64_t{version.predictor->model().num_columns()} + 1) * 8;
  const int64_t most = std::max<int64_t>((max_bytes - kAnswerMargin) / row_bytes, 1);
  if (request.num_rows() < 1 || request.num_rows() > most) {
    return absl::InvalidArgumentError(absl::StrCat("num_rows: got ", request.num_rows(),
                                                   ", must be 1 to ", most,
                                                   ", so that the answer fits a message"));
  }
  absl::StatusOr<SampledRows> sample = version.predictor->Sample(
      request.num_rows(), request.has_seed() ? request.seed() : 0, cancelled);
  if (!sample.ok()) return sample.status();
  for (const ColumnSchema& column : version.columns) response.add_columns(column.name);
  const std::array<int64_t, 2> shape = {request.num_rows(),
                                        version.predictor->model().num_columns()};
  EncodeTensor(std::span<const double>(sample->rows), shape, request.packed(),
               *response.mutable_rows());
  EncodeTensor(std::span<const int64_t>(sample->labels), std::span<const int64_t>(shape.data(), 1),
               request.packed(), *response.mutable_labels());
  return absl::OkStatus();
}

}  // namespace emserve::server
