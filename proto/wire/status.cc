#include "proto/wire/status.h"

#include <cctype>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/rpc/error_details.pb.h"

namespace emserve {
namespace {

std::optional<std::string> Payload(const absl::Status& status, const char* url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

void SetPayload(absl::Status& status, const char* url, std::string_view text) {
  status.SetPayload(url, absl::Cord(absl::string_view(text.data(), text.size())));
}

// At most kMaxMessageBytes of `text`, cut between characters of UTF-8.
std::string Bounded(std::string_view text) {
  if (text.size() <= kMaxMessageBytes) return std::string(text);
  constexpr std::string_view kEllipsis = "...";
  size_t end = kMaxMessageBytes - kEllipsis.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(std::string(text.substr(0, end)), std::string(kEllipsis));
}

template <typename Detail>
void Pack(const Detail& detail, google::rpc::Status& out) {
  out.add_details()->PackFrom(detail);
}

}  // namespace

std::string_view FieldPath(std::string_view message) {
  for (size_t i = 0; i < message.size(); ++i) {
    const char c = message[i];
    if (c == ':') return message.substr(i).starts_with(": ") ? message.substr(0, i) : "";
    if (c == '[') {
      // To the bracket after which a path can go on or end.
      do {
        i = message.find(']', i + 1);
      } while (i != std::string_view::npos && i + 1 < message.size() &&
               std::string_view(".[:").find(message[i + 1]) == std::string_view::npos);
      if (i == std::string_view::npos) return "";
    } else if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.' && c != '-') {
      return "";
    }
  }
  return "";
}

google::rpc::Status ToProto(const absl::Status& status) {
  google::rpc::Status out;
  out.set_code(static_cast<int>(status.code()));
  if (status.ok()) return out;
  const absl::string_view text = status.message();
  const std::string message = Bounded({text.data(), text.size()});
  out.set_message(message);

  google::rpc::ErrorInfo info;
  info.set_domain(kErrorDomain);
  info.set_reason(
      Payload(status, kReasonPayload).value_or(absl::StatusCodeToString(status.code())));
  if (const auto metadata = Payload(status, kMetadataPayload)) {
    for (const absl::string_view line : absl::StrSplit(*metadata, '\n', absl::SkipEmpty())) {
      const std::pair<std::string, std::string> entry =
          absl::StrSplit(line, absl::MaxSplits('=', 1));
      (*info.mutable_metadata())[entry.first] = entry.second;
    }
  }
  Pack(info, out);

  const bool bad_request = absl::IsInvalidArgument(status) || absl::IsOutOfRange(status);
  std::string field = Payload(status, kFieldPayload).value_or("");
  if (field.empty() && bad_request) field = FieldPath(message);
  const auto resource = Payload(status, kResourcePayload);
  if (!field.empty() && bad_request) {
    google::rpc::BadRequest detail;
    auto* violation = detail.add_field_violations();
    violation->set_field(field);
    violation->set_description(message);
    Pack(detail, out);
  }
  if (absl::IsFailedPrecondition(status)) {
    google::rpc::PreconditionFailure detail;
    auto* violation = detail.add_violations();
    violation->set_type(info.reason());
    violation->set_subject(resource ? resource->substr(resource->find('\n') + 1)
                                    : (field.empty() ? std::string(FieldPath(message)) : field));
    violation->set_description(message);
    Pack(detail, out);
  }
  if (resource) {
    google::rpc::ResourceInfo detail;
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(*resource, absl::MaxSplits('\n', 1));
    detail.set_resource_type(parts.first);
    detail.set_resource_name(Bounded(parts.second));
    detail.set_description(message);
    Pack(detail, out);
  }
  if (const auto quota = Payload(status, kQuotaPayload)) {
    google::rpc::QuotaFailure detail;
    auto* violation = detail.add_violations();
    violation->set_subject(*quota);
    violation->set_description(message);
    Pack(detail, out);
  }
  int64_t retry_ms = 0;
  if (const auto retry = Payload(status, kRetryPayload);
      retry && absl::SimpleAtoi(*retry, &retry_ms)) {
    google::rpc::RetryInfo detail;
    detail.mutable_retry_delay()->set_seconds(retry_ms / 1000);
    detail.mutable_retry_delay()->set_nanos(static_cast<int>(retry_ms % 1000) * 1000000);
    Pack(detail, out);
  }
  if (const auto request = Payload(status, kRequestPayload)) {
    google::rpc::RequestInfo detail;
    detail.set_request_id(*request);
    Pack(detail, out);
  }
  return out;
}

absl::Status FromProto(const google::rpc::Status& status) {
  if (status.code() == 0) return absl::OkStatus();
  const bool known = status.code() > 0 && status.code() <= 16;
  absl::Status out(
      known ? static_cast<absl::StatusCode>(status.code()) : absl::StatusCode::kUnknown,
      status.message());
  for (const google::protobuf::Any& any : status.details()) {
    if (google::rpc::ErrorInfo info; any.UnpackTo(&info)) {
      SetPayload(out, kReasonPayload, info.reason());
      std::string lines;
      for (const auto& [key, value] : info.metadata())
        absl::StrAppend(&lines, key, "=", value, "\n");
      if (!lines.empty()) SetPayload(out, kMetadataPayload, lines);
    } else if (google::rpc::BadRequest bad; any.UnpackTo(&bad) && bad.field_violations_size() > 0) {
      SetPayload(out, kFieldPayload, bad.field_violations(0).field());
    } else if (google::rpc::ResourceInfo resource; any.UnpackTo(&resource)) {
      SetPayload(out, kResourcePayload,
                 absl::StrCat(resource.resource_type(), "\n", resource.resource_name()));
    } else if (google::rpc::QuotaFailure quota;
               any.UnpackTo(&quota) && quota.violations_size() > 0) {
      SetPayload(out, kQuotaPayload, quota.violations(0).subject());
    } else if (google::rpc::RetryInfo retry; any.UnpackTo(&retry)) {
      SetPayload(out, kRetryPayload,
                 absl::StrCat(retry.retry_delay().seconds() * 1000 +
                              retry.retry_delay().nanos() / 1000000));
    } else if (google::rpc::RequestInfo request; any.UnpackTo(&request)) {
      SetPayload(out, kRequestPayload, request.request_id());
    }
  }
  return out;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status proto = ToProto(status);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), proto.message(),
                      proto.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status proto;
  // The details may come from elsewhere or be damaged: code and message then stand alone.
  if (!proto.ParseFromString(status.error_details()) || proto.code() != status.error_code()) {
    proto.Clear();
    proto.set_code(status.error_code());
  }
  proto.set_message(status.error_message());
  return FromProto(proto);
}

}  // namespace emserve
