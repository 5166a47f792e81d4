#include "client/emctl/datasets.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/csv.h"
#include "client/data_file.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"

namespace emserve::emctl {
namespace {

std::string StateOf(const v1::Dataset& dataset) {
  return EnumWord(*v1::Dataset::State_descriptor(), dataset.state());
}

absl::Status PrintDataset(Session& session, const v1::Dataset& dataset) {
  if (session.json()) return session.PrintJson(ToJson(dataset));
  TextTable figures("ll");
  figures.Add({"dataset", Printable(dataset.name())});
  figures.Add({"state", StateOf(dataset)});
  if (dataset.has_error()) figures.Add({"error", Printable(dataset.error().message())});
  if (!dataset.description().empty()) {
    figures.Add({"description", Printable(dataset.description())});
  }
  figures.Add({"rows", absl::StrCat(dataset.num_rows())});
  std::string size = FormatBytes(dataset.size_bytes());
  if (dataset.committed_size() != dataset.size_bytes()) {
    absl::StrAppend(&size, ", ", FormatBytes(dataset.committed_size()), " there");
  }
  figures.Add({"size", std::move(size)});
  figures.Add({"sha256", Printable(dataset.sha256())});
  figures.Add({"created", FormatTime(dataset.create_time())});
  if (dataset.has_expire_time()) figures.Add({"expires", FormatTime(dataset.expire_time())});
  TextTable columns("llrrrrrr");
  columns.Add({"COLUMN", "KIND", "MISSING", "INFINITE", "MINIMUM", "MAXIMUM", "MEAN", "VARIANCE"});
  for (const v1::Column& column : dataset.columns()) {
    const std::string kind = EnumWord(*v1::ColumnKind_descriptor(), column.kind());
    std::vector<std::string> row = {Printable(column.name()), kind.empty() ? "real" : kind};
    if (column.has_summary()) {
      const v1::ColumnSummary& summary = column.summary();
      row.insert(row.end(),
                 {absl::StrCat(summary.num_missing()), absl::StrCat(summary.num_infinite()),
                  Short(summary.minimum()), Short(summary.maximum()), Short(summary.mean()),
                  Short(summary.variance())});
    }
    columns.Add(std::move(row));
  }
  return session.Print(absl::StrCat(figures.ToString(), "\n", columns.ToString()));
}

}  // namespace

absl::Status ListDatasets(Session& session, int64_t limit) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::Dataset>> datasets = (*client)->ListDatasets(limit);
  if (!datasets.ok()) return datasets.status();
  if (session.json()) {
    Json list = Json::array();
    for (const v1::Dataset& dataset : *datasets) list.push_back(ToJson(dataset));
    return session.PrintJson(Json{{"datasets", std::move(list)}});
  }
  TextTable table("llrrrll");
  table.Add({"NAME", "STATE", "ROWS", "COLUMNS", "SIZE", "CREATED", "DESCRIPTION"});
  for (const v1::Dataset& dataset : *datasets) {
    table.Add({Printable(dataset.name()), StateOf(dataset), absl::StrCat(dataset.num_rows()),
               absl::StrCat(dataset.columns_size()), FormatBytes(dataset.size_bytes()),
               FormatTime(dataset.create_time()), Printable(dataset.description())});
  }
  return session.Print(table.ToString());
}

absl::Status GetDataset(Session& session, const std::string& dataset_name) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Dataset> dataset =
      (*client)->GetDataset(ResourceName("datasets", dataset_name));
  if (!dataset.ok()) return dataset.status();
  return PrintDataset(session, *dataset);
}

absl::Status UploadDataset(Session& session, const UploadArguments& arguments) {
  client::DataFileOptions reading = arguments.reading;
  if (!arguments.columns.empty()) {
    absl::StatusOr<std::vector<std::string>> columns = client::SplitCsvRecord(arguments.columns);
    if (!columns.ok()) return columns.status();
    reading.columns = *std::move(columns);
  }
  reading.all_categories = absl::EqualsIgnoreCase(arguments.categories, "all");
  if (!arguments.categories.empty() && !reading.all_categories) {
    absl::StatusOr<std::vector<std::string>> columns = client::SplitCsvRecord(arguments.categories);
    if (!columns.ok()) return columns.status();
    reading.categories = *std::move(columns);
  }
  const absl::StatusOr<client::DataFile> file = ReadData(session, arguments.file, reading);
  if (!file.ok()) return file.status();
  const absl::StatusOr<v1::Dataset> dataset = UploadTable(
      session, file->table,
      {.dataset_id = arguments.id.empty() ? "" : ResourceId("datasets", arguments.id),
       .description = arguments.description.empty() ? arguments.file : arguments.description},
      absl::StrCat("uploading ", arguments.file));
  if (!dataset.ok()) return dataset.status();
  return PrintDataset(session, *dataset);
}

absl::Status DownloadDataset(Session& session, const std::string& dataset,
                             const std::string& output) {
  const std::string path = output.empty() ? "-" : output;
  if (session.json() && path == "-") {
    return absl::InvalidArgumentError("--output: must be given with --json");
  }
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const std::string name = ResourceName("datasets", dataset);
  const StopOnInterrupt stop(session.interrupts());
  const absl::StatusOr<client::Table> table = (*client)->DownloadTable(
      name, {.progress = DrawBar(session.line(), absl::StrCat("downloading ", name)),
             .stop = stop.token()});
  session.line().Clear();
  if (!table.ok()) return table.status();
  if (absl::Status status = client::WriteCsvFile(*table, path); !status.ok()) return status;
  if (!session.json()) return absl::OkStatus();
  return session.PrintJson(Json{{"dataset", name},
                                {"output", output},
                                {"num_rows", table->num_rows},
                                {"columns", table->columns}});
}

absl::Status DeleteDatasets(Session& session, const std::vector<std::string>& datasets) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  Json list = Json::array();
  for (const std::string& dataset : datasets) {
    const std::string name = ResourceName("datasets", dataset);
    if (absl::Status status = (*client)->DeleteDataset(name); !status.ok()) return status;
    list.push_back(name);
    session.Note(absl::StrCat("deleted ", name));
  }
  return session.json() ? session.PrintJson(Json{{"deleted", std::move(list)}}) : absl::OkStatus();
}

}  // namespace emserve::emctl
