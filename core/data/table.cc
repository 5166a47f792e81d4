#include "core/data/table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

constexpr std::align_val_t kAlignment{64};

double* Allocate(int64_t count) {
  return static_cast<double*>(
      ::operator new[](static_cast<size_t>(count) * sizeof(double), kAlignment));
}

template <typename T>
T Load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

// Transposes rows [first, first + count), one run of neighbouring columns after the other.
void Transpose(const Cells& cells, std::span<const int> columns, int64_t first, int count,
               int stride, double* out) {
  const int64_t cell_bytes = ElementSize(cells.type);
  const int64_t row_bytes = cells.num_columns * cell_bytes;
  const std::byte* const rows = cells.bytes + first * row_bytes;
  for (size_t c = 0; c < columns.size();) {
    size_t end = c + 1;
    while (end < columns.size() && columns[end] == columns[end - 1] + 1) ++end;
    const std::byte* const from = rows + columns[c] * cell_bytes;
    const int width = static_cast<int>(end - c);
    double* const to = out + static_cast<int64_t>(c) * stride;
    switch (cells.type) {
      case ElementType::kFloat64:
        TransposeFloat64(from, row_bytes, count, width, to, stride);
        break;
      case ElementType::kFloat32:
        TransposeFloat32(from, row_bytes, count, width, to, stride);
        break;
      case ElementType::kInt64:
        TransposeInt64(from, row_bytes, count, width, to, stride);
        break;
    }
    c = end;
  }
}

const std::byte* CellAt(const Cells& cells, int64_t row, int column) {
  return cells.bytes + (row * cells.num_columns + column) * ElementSize(cells.type);
}

}  // namespace

double LoadCell(const Cells& cells, int64_t row, int column) {
  const std::byte* const p = CellAt(cells, row, column);
  switch (cells.type) {
    case ElementType::kFloat32:
      return Load<float>(p);
    case ElementType::kInt64:
      return static_cast<double>(Load<int64_t>(p));
    case ElementType::kFloat64:
      break;
  }
  return Load<double>(p);
}

int64_t LoadInteger(const Cells& cells, int64_t row, int column) {
  return Load<int64_t>(CellAt(cells, row, column));
}

void BlockBuffer::Free::operator()(double* p) const { ::operator delete[](p, kAlignment); }

BlockBuffer::BlockBuffer(int max_rows, int num_columns, int label_components, bool sequences)
    : max_rows_(max_rows),
      values_(Allocate(static_cast<int64_t>(PaddedRows(max_rows)) * num_columns)),
      weights_(Allocate(PaddedRows(max_rows))),
      labels_(label_components == 0
                  ? nullptr
                  : Allocate(static_cast<int64_t>(PaddedRows(max_rows)) * label_components)),
      begins_(sequences ? max_rows : 0),
      sequence_weights_(begins_.size()) {}

absl::StatusOr<Table> Table::Create(Cells cells, Options options) {
  if (cells.num_rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_rows: got ", cells.num_rows, ", must be 1 or more"));
  }
  if (cells.num_columns < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_columns: got ", cells.num_columns, ", must be 1 or more"));
  }
  int64_t size = ElementSize(cells.type);
  if (__builtin_mul_overflow(size, cells.num_rows, &size) ||
      __builtin_mul_overflow(size, int64_t{cells.num_columns}, &size)) {
    return absl::InvalidArgumentError("num_rows: the table has more bytes than can be addressed");
  }
  const auto known = [&](int column) { return column >= 0 && column < cells.num_columns; };
  if (options.weight_column.has_value() && !known(*options.weight_column)) {
    return absl::InvalidArgumentError(absl::StrCat("weight_column: got ", *options.weight_column,
                                                   ", must be less than ", cells.num_columns));
  }
  if (options.weight_column.has_value() && options.weights != nullptr) {
    return absl::InvalidArgumentError(
        "weights: got both weights and weight_column, must be one of them");
  }
  if (options.weights != nullptr &&
      static_cast<int64_t>(options.weights->size()) != cells.num_rows) {
    return absl::InvalidArgumentError(absl::StrCat("weights: got ", options.weights->size(),
                                                   " values, must be ", cells.num_rows,
                                                   ", one per row"));
  }
  if (options.columns.empty()) {
    options.columns.resize(static_cast<size_t>(cells.num_columns));
    std::iota(options.columns.begin(), options.columns.end(), 0);
  }
  for (size_t i = 0; i < options.columns.size(); ++i) {
    if (!known(options.columns[i])) {
      return absl::InvalidArgumentError(absl::StrCat("columns[", i, "]: got ", options.columns[i],
                                                     ", must be less than ", cells.num_columns));
    }
  }
  if (options.names.empty()) {
    for (const int column : options.columns) options.names.push_back(absl::StrCat(column));
  }
  if (options.names.size() != options.columns.size()) {
    return absl::InvalidArgumentError(absl::StrCat("names: got ", options.names.size(),
                                                   " names, must be ", options.columns.size(),
                                                   ", one per column"));
  }
  if (options.label_column.has_value() && !options.plausibility_columns.empty()) {
    return absl::InvalidArgumentError(
        "label_column: got both label_column and plausibility_columns, must be one of them");
  }
  if (options.label_column.has_value() && !known(*options.label_column)) {
    return absl::InvalidArgumentError(absl::StrCat("label_column: got ", *options.label_column,
                                                   ", must be less than ", cells.num_columns));
  }
  if (options.label_column.has_value() && options.label_components < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("label_components: got ", options.label_components, ", must be at least 1"));
  }
  for (size_t i = 0; i < options.plausibility_columns.size(); ++i) {
    if (!known(options.plausibility_columns[i])) {
      return absl::InvalidArgumentError(absl::StrCat("plausibility_columns[", i, "]: got ",
                                                     options.plausibility_columns[i],
                                                     ", must be less than ", cells.num_columns));
    }
  }
  for (size_t i = 0; i < options.start_columns.size(); ++i) {
    if (!known(options.start_columns[i])) {
      return absl::InvalidArgumentError(absl::StrCat("start_columns[", i, "]: got ",
                                                     options.start_columns[i],
                                                     ", must be less than ", cells.num_columns));
    }
  }
  if (options.sequences != nullptr && options.sequences->num_rows() != cells.num_rows) {
    return absl::InvalidArgumentError(absl::StrCat("sequences: got ", options.sequences->num_rows(),
                                                   " rows, must be ", cells.num_rows));
  }
  Table table;
  table.sequences_ = std::move(options.sequences);
  table.start_columns_ = std::move(options.start_columns);
  table.label_column_ = options.label_column;
  table.label_components_ = options.label_column.has_value()
                                ? options.label_components
                                : static_cast<int>(options.plausibility_columns.size());
  table.plausibility_columns_ = std::move(options.plausibility_columns);
  table.complete_ = cells.type == ElementType::kInt64;
  table.cells_ = std::move(cells);
  table.columns_ = std::move(options.columns);
  table.names_ = std::move(options.names);
  table.weight_column_ = options.weight_column;
  table.weights_ = std::move(options.weights);
  return table;
}

absl::StatusOr<Table> Table::FromValues(std::vector<double> values, int64_t num_rows,
                                        int num_columns, std::vector<double> weights) {
  int64_t count = num_rows;
  if (num_rows < 0 || num_columns < 0 ||
      __builtin_mul_overflow(count, int64_t{num_columns}, &count) ||
      count != static_cast<int64_t>(values.size())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "values: got ", values.size(), " cells, must be ", num_rows, " rows of ", num_columns));
  }
  auto owned = std::make_shared<const std::vector<double>>(std::move(values));
  Cells cells;
  cells.bytes = reinterpret_cast<const std::byte*>(owned->data());
  cells.owner = std::move(owned);
  cells.num_rows = num_rows;
  cells.num_columns = num_columns;
  Options options;
  if (!weights.empty())
    options.weights = std::make_shared<const std::vector<double>>(std::move(weights));
  return Create(std::move(cells), std::move(options));
}

double Table::weight(int64_t row) const {
  if (weights_ != nullptr) return (*weights_)[static_cast<size_t>(row)];
  return weight_column_.has_value() ? LoadCell(cells_, row, *weight_column_) : 1.0;
}

double Table::EffectiveWeight(int64_t row) const {
  const double given = weight(row);
  if (complete_ || given == 0) return given;
  for (int c = 0; c < num_columns(); ++c) {
    if (!std::isnan(value(row, c))) return given;
  }
  return labelled(row) ? given : 0;
}

double Table::value(int64_t row, int column) const {
  return LoadCell(cells_, row, columns_[static_cast<size_t>(column)]);
}

double Table::raw_value(int64_t row, int cells_column) const {
  return LoadCell(cells_, row, cells_column);
}

bool Table::labelled(int64_t row) const {
  if (label_column_.has_value()) return LoadCell(cells_, row, *label_column_) >= 0;
  if (plausibility_columns_.empty()) return false;
  const double first = LoadCell(cells_, row, plausibility_columns_[0]);
  return std::any_of(plausibility_columns_.begin(), plausibility_columns_.end(),
                     [&](int column) { return LoadCell(cells_, row, column) != first; });
}

std::optional<int> Table::OnlyComponent(int64_t row) const {
  if (label_column_.has_value()) {
    const double label = LoadCell(cells_, row, *label_column_);
    if (label >= 0 && label < label_components_) return static_cast<int>(label);
    return std::nullopt;
  }
  std::optional<int> only;
  for (int k = 0; k < label_components_; ++k) {
    if (LoadCell(cells_, row, plausibility_columns_[k]) <= 0) continue;
    if (only) return std::nullopt;
    only = k;
  }
  return only;
}

Table Table::Complete() const {
  Table complete = *this;
  complete.complete_ = true;
  return complete;
}

// Whether the block has missing cells; rows that have nothing else lose their weight.
bool Table::FindMissing(int count, BlockBuffer& buffer, const Block& block) const {
  bool any = false;
  for (int c = 0; c < num_columns(); ++c) {
    const double* const x = block.column(c);
    bool found = false;
    for (int i = 0; i < count; ++i) found |= std::isnan(x[i]);
    any |= found;
  }
  for (int i = 0; any && i < count; ++i) {
    bool observed = false;
    for (int c = 0; c < num_columns() && !observed; ++c) observed = !std::isnan(block.column(c)[i]);
    if (!observed && !labelled(block.first_row + i)) buffer.weights()[i] = 0;
  }
  return any;
}

// log_labels [K x stride].
void Table::ReadLabels(int64_t first, int count, BlockBuffer& buffer) const {
  const int stride = PaddedRows(count);
  constexpr double kExcluded = -std::numeric_limits<double>::infinity();
  double* const labels = buffer.labels();
  std::fill_n(labels, static_cast<int64_t>(label_components_) * stride, 0.0);
  for (int i = 0; i < count; ++i) {
    if (label_column_.has_value()) {
      const double label = LoadCell(cells_, first + i, *label_column_);
      if (!(label >= 0)) continue;
      for (int k = 0; k < label_components_; ++k) {
        if (k != label) labels[static_cast<int64_t>(k) * stride + i] = kExcluded;
      }
      continue;
    }
    for (int k = 0; k < label_components_; ++k) {
      const double plausibility = LoadCell(cells_, first + i, plausibility_columns_[k]);
      if (plausibility >= 0) labels[static_cast<int64_t>(k) * stride + i] = std::log(plausibility);
    }
  }
}

void Table::ReadSequences(BlockBuffer& buffer, Block& block) const {
  const int64_t end = block.first_row + block.num_rows;
  int64_t s = sequences_->Of(block.first_row);
  std::fill_n(buffer.begins(), block.num_rows, 0);
  for (int64_t row = block.first_row; row < end; ++s) {
    const int64_t first = sequences_->first_row(s);
    const int64_t next = std::min(sequences_->first_row(s + 1), end);
    if (first == row) buffer.begins()[row - block.first_row] = 1;
    std::fill(buffer.sequence_weights() + (row - block.first_row),
              buffer.sequence_weights() + (next - block.first_row), sequences_->weight(s));
    row = next;
  }
  block.begins = buffer.begins();
  block.sequence_weights = buffer.sequence_weights();
}

Block Table::Read(int64_t first, int count, BlockBuffer& buffer) const {
  const int stride = PaddedRows(count);
  double* values = buffer.values();
  double* weights = buffer.weights();
  Transpose(cells_, columns_, first, count, stride, values);
  for (int c = 0; c < num_columns(); ++c) {
    std::fill(values + static_cast<int64_t>(c) * stride + count,
              values + static_cast<int64_t>(c + 1) * stride, 0.0);
  }
  if (weights_ != nullptr) {
    std::copy_n(weights_->data() + first, count, weights);
  } else if (weight_column_.has_value()) {
    for (int i = 0; i < count; ++i) weights[i] = LoadCell(cells_, first + i, *weight_column_);
  } else {
    std::fill_n(weights, count, 1.0);
  }
  std::fill(weights + count, weights + stride, 0.0);

  Block block;
  block.first_row = first;
  block.num_rows = count;
  block.stride = stride;
  block.num_columns = num_columns();
  block.values = values;
  block.weights = weights;
  if (!complete_) block.complete = !FindMissing(count, buffer, block);
  if (label_components_ > 0) {
    ReadLabels(first, count, buffer);
    block.log_labels = buffer.labels();
  }
  if (sequences_ != nullptr) ReadSequences(buffer, block);
  return block;
}

Partition Partition::Make(int64_t num_rows, int64_t doubles_per_row, int64_t doubles_per_lane) {
  constexpr int64_t kWorkingDoubles = 512 * 1024 / 8;
  constexpr int64_t kMinLaneRows = 4096;
  constexpr int64_t kFewLanes = 4;
  constexpr int64_t kLaneDoubles = 512 * 1024 * 1024 / 8;
  constexpr int64_t kMinBlockRows = 48;
  constexpr int64_t kMaxBlockRows = 480;
  Partition partition;
  partition.num_rows = num_rows;
  const int64_t fitting = kWorkingDoubles / std::max<int64_t>(doubles_per_row, 1);
  partition.block_rows =
      static_cast<int>(std::clamp(fitting / kRowPad * kRowPad, kMinBlockRows, kMaxBlockRows));
  partition.num_blocks = (num_rows + partition.block_rows - 1) / partition.block_rows;
  const int64_t affordable =
      std::max(kFewLanes, kLaneDoubles / std::max<int64_t>(doubles_per_lane, 1));
  partition.num_lanes = static_cast<int>(
      std::clamp<int64_t>(num_rows / kMinLaneRows, 1,
                          std::min({int64_t{kMaxLanes}, affordable, partition.num_blocks})));
  return partition;
}

}  // namespace emserve
