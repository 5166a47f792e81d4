#include "client/emctl/session.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/emctl/exit_status.h"
#include "client/utf8.h"

namespace emserve::emctl {

Session::Session(CommonOptions options) : options_(std::move(options)), line_(options_.quiet) {}

absl::StatusOr<client::Client*> Session::Connect() {
  if (client_ == nullptr) {
    line_.Draw(absl::StrCat("waiting for ", options_.connect.address), true);
    absl::StatusOr<std::unique_ptr<client::Client>> connected =
        client::Client::Connect(options_.connect);
    line_.Clear();
    if (!connected.ok()) return connected.status();
    client_ = *std::move(connected);
  }
  return client_.get();
}

absl::Status Session::Print(std::string_view text) {
  line_.Clear();
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("standard output: cannot be written: ", std::strerror(errno)));
}

absl::Status Session::PrintJson(const Json& document) {
  return Print(document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

absl::StatusOr<client::DataFile> ReadData(Session& session, const std::string& path,
                                          const client::DataFileOptions& options) {
  absl::StatusOr<client::DataFile> file = client::ReadDataFile(path, options);
  if (!file.ok()) return file;
  for (const std::string& note : file->notes) session.Note(note);
  return file;
}

absl::StatusOr<v1::Dataset> UploadTable(Session& session, const client::Table& table,
                                        const client::DatasetOptions& dataset,
                                        const std::string& what) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const StopOnInterrupt stop(session.interrupts());
  const client::TransferOptions transfer{.progress = DrawBar(session.line(), what),
                                         .stop = stop.token()};
  client::DatasetOptions options = dataset;
  // The name of a file may be anything; what travels must be UTF-8.
  if (!client::IsUtf8(options.description)) options.description.clear();
  absl::StatusOr<v1::Dataset> uploaded = (*client)->Upload(table, options, transfer);
  session.line().Clear();
  if (!uploaded.ok()) return DataRefused(uploaded.status());
  if (stop.token().stop_requested()) {  // on the last byte
    (*client)->DeleteDataset(uploaded->name()).IgnoreError();
    return absl::CancelledError("stopped on request");
  }
  return uploaded;
}

}  // namespace emserve::emctl
