#include "client/emctl/info.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/emctl/text.h"

namespace emserve::emctl {

std::string CapabilityTable(const v1::GetServerInfoResponse& info) {
  // Names of families are too long for the heads of columns: those have numbers.
  TextTable families("rll");
  families.Add({"", "FAMILY", ""});
  std::vector<std::string> head = {"CAPABILITY"};
  std::vector<std::string> capabilities;  // in the order in which they come
  const auto add = [](std::vector<std::string>& names, const auto& more) {
    for (const std::string& name : more) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  };
  std::vector<std::string> outputs;
  for (const v1::Family& family : info.families()) {
    head.push_back(absl::StrCat(head.size()));
    families.Add({head.back(), Printable(family.name()), Printable(family.summary())});
    add(capabilities, family.capabilities());
    add(outputs, family.outputs());
  }
  TextTable table("l" + std::string(head.size(), 'r'));
  const auto add_rows = [&](const std::vector<std::string>& names, const auto& of_family) {
    for (const std::string& name : names) {
      std::vector<std::string> row = {Printable(name)};
      for (const v1::Family& family : info.families()) {
        const auto& has = of_family(family);
        row.push_back(std::find(has.begin(), has.end(), name) == has.end() ? "-" : "x");
      }
      table.Add(std::move(row));
    }
  };
  table.Add(head);
  add_rows(
      capabilities, [](const v1::Family& family) -> const auto& { return family.capabilities(); });
  table.Add({});
  head[0] = "OUTPUT OF PREDICT";
  table.Add(head);
  add_rows(
      outputs, [](const v1::Family& family) -> const auto& { return family.outputs(); });
  return absl::StrCat(families.ToString(), "\n", table.ToString());
}

absl::Status ShowServerInfo(Session& session) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::GetServerInfoResponse> info = (*client)->GetServerInfo();
  if (!info.ok()) return info.status();
  if (session.json()) return session.PrintJson(ToJson(*info));
  TextTable figures("ll");
  figures.Add({"emserve", Printable(info->version())});
  figures.Add({"started", FormatTime(info->start_time())});
  figures.Add({"threads", absl::StrCat(info->num_threads())});
  figures.Add(
      {"jobs", absl::StrCat(info->running_jobs(), " running, ", info->pending_jobs(), " waiting")});
  if (info->draining()) figures.Add({"draining", "yes, no new jobs are taken"});
  TextTable limits("lrll");
  limits.Add({"LIMIT", "VALUE", "UNIT", ""});
  for (const v1::Limit& limit : info->limits()) {
    limits.Add({Printable(limit.name()), absl::StrCat(limit.value()), Printable(limit.unit()),
                Printable(limit.description())});
  }
  return session.Print(
      absl::StrCat(figures.ToString(), "\n", limits.ToString(), "\n", CapabilityTable(*info)));
}

}  // namespace emserve::emctl
