#include "client/emctl/info.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/emctl/text.h"

namespace emserve::emctl {

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
  std::string out = absl::StrCat(figures.ToString(), "\n", limits.ToString());
  for (const v1::Family& family : info->families()) {
    absl::StrAppend(&out, "\n", Printable(family.name()), ": ", Printable(family.summary()),
                    "\n  capabilities: ", Printable(absl::StrJoin(family.capabilities(), ", ")),
                    "\n  outputs: ", Printable(absl::StrJoin(family.outputs(), ", ")), "\n");
  }
  return session.Print(out);
}

}  // namespace emserve::emctl
