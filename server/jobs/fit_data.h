// The data of a fit: which cells, which columns, and what can be said about them before the fit
// runs.
#ifndef EMSERVE_SERVER_JOBS_FIT_DATA_H_
#define EMSERVE_SERVER_JOBS_FIT_DATA_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/runtime/pool.h"
#include "server/datasets/dataset_store.h"
#include "server/jobs/table_sequences.h"

namespace emserve::server {

// A table that came with the request.
struct InlineTableData {
  Cells cells;
  std::vector<std::string> columns;  // one unique name per column
  int64_t held_bytes = 0;  // what keeping the cells costs, the request around them included
};

// Where the data of a fit comes from. Paths in errors are those of a FitSpec.
struct FitSource {
  std::string dataset;                         // "datasets/{dataset}"; empty: inline_data
  std::optional<InlineTableData> inline_data;  // exactly one of the two
  // To model, in order; empty: all but those that the next five name.
  std::vector<std::string> columns;
  std::string weight_column;  // empty: all rows weigh 1
  // What is known of the rows' components, at most one of:
  std::string label_column;                         // component index; empty: none
  std::vector<std::string> plausibility_columns;    // one per component; empty: none
  std::vector<std::string> responsibility_columns;  // to start from; empty: none
  // How the rows follow each other in time; none: models of sequences see one of all rows.
  std::optional<SequenceSource> sequences = std::nullopt;
};

// What is fitted: cells with a role for some columns, the modelled columns' schemas, and the
// dataset that keeps the cells, if any.
struct FitData {
  Cells cells;
  Table::Options layout;                          // of a table, but for label_components
  std::vector<ColumnSchema> columns;              // modelled, in order
  std::shared_ptr<const DatasetContent> content;  // null: inline
  int64_t inline_bytes = 0;
  std::string sha256;
  // What one pass over the rows has found, for any number of components that has the largest label
  // among them; absent while it is not known.
  std::optional<Summary> summary;
  std::optional<double> largest_label;  // of label_column, -infinity without any

  // What is kept of the request and of the sequences, bytes.
  int64_t held_bytes() const { return inline_bytes + SizeOf(layout.sequences); }
  // Whether something may be known of the rows' components.
  bool labelled() const {
    return layout.label_column.has_value() || !layout.plausibility_columns.empty();
  }
};

// Finds the cells and the columns. INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION as MakeFitWork
// says. O(columns), O(bytes) for inline data, O(rows) for sequences.
absl::StatusOr<FitData> FindData(FitSource source, DatasetStore& datasets);

// The table for a model with `num_components` components, labels and starts among them.
// INVALID_ARGUMENT for plausibility_columns and start.responsibility_columns that are not one per
// component. O(columns).
absl::StatusOr<Table> TableFor(const FitData& data, int num_components);

// What is known of a table before its fit runs.
struct Judgement {
  Summary summary;
  bool exact = false;  // Summarize's; else the columns' own figures, the same but for rounding
};

// Judges the values of `table`, made of `data`: by the figures of its columns where those of a
// sealed dataset say enough, else by one pass with the threads of `pool`: inline data, weights,
// labels, missing cells (a row without any counts for nothing, which columns do not tell). What
// does not depend on the number of components is kept in `data`, so that another number costs no
// pass. `num_components` is what `table` was made for. INVALID_ARGUMENT as MakeFitWork says;
// Cancelled when `stop` is requested.
absl::StatusOr<Judgement> JudgeData(FitData& data, const Table& table, int num_components,
                                    Pool& pool, std::stop_token stop);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_FIT_DATA_H_
