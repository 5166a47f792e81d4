// How predictions are shown: rows of a CSV file, or one JSON document.
#ifndef EMSERVE_CLIENT_EMCTL_PREDICTION_WRITER_H_
#define EMSERVE_CLIENT_EMCTL_PREDICTION_WRITER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/client.h"
#include "client/emctl/json.h"
#include "client/file.h"
#include "emserve/v1/model.pb.h"

namespace emserve::emctl {

// The model's columns: names, and those of their categories.
struct ModelColumns {
  explicit ModelColumns(const v1::ModelVersion& version) {
    for (const v1::Column& column : version.columns()) {
      names.push_back(column.name());
      levels.emplace_back(column.levels().begin(), column.levels().end());
    }
  }
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> levels;
};

// Takes predictions chunk by chunk.
class PredictionWriter {
 public:
  virtual ~PredictionWriter() = default;
  virtual absl::Status Add(const client::Prediction& prediction) = 0;
  // After the last chunk.
  virtual absl::Status Finish() = 0;
};

// One row of numbers for each row of data.
class CsvPredictions : public PredictionWriter {
 public:
  CsvPredictions(std::unique_ptr<client::OutputFile> file, ModelColumns model)
      : file_(std::move(file)), model_(std::move(model)) {}

  absl::Status Add(const client::Prediction& prediction) override;
  absl::Status Finish() override { return file_->Commit(); }

  const std::vector<std::string>& columns() const { return columns_; }

 private:
  const std::unique_ptr<client::OutputFile> file_;
  const ModelColumns model_;
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> levels_;  // of each column
};

// All predictions in one document: for small tables.
class JsonPredictions : public PredictionWriter {
 public:
  explicit JsonPredictions(ModelColumns model) : model_(std::move(model)) {}

  absl::Status Add(const client::Prediction& prediction) override;
  absl::Status Finish() override { return absl::OkStatus(); }

  Json Take() { return std::move(outputs_); }

 private:
  // Imputed and forecast categories by name.
  Json Row(const client::NamedArray& array, std::span<const double> values) const;

  const ModelColumns model_;
  Json outputs_ = Json::object();
};

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_PREDICTION_WRITER_H_
