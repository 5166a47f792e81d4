#include "proto/wire/status.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace emserve {
namespace {

std::string Text(const absl::Status& status, const char* url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : "<none>";
}

template <typename Detail>
Detail Find(const google::rpc::Status& status) {
  Detail detail;
  for (const auto& any : status.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  ADD_FAILURE() << "no " << Detail::descriptor()->full_name() << " in " << status.DebugString();
  return detail;
}

TEST(Status, OkHasNoDetails) {
  EXPECT_EQ(ToProto(absl::OkStatus()).details_size(), 0);
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

TEST(Status, EveryErrorCarriesReasonAndDomain) {
  const auto info = Find<google::rpc::ErrorInfo>(ToProto(absl::UnavailableError("draining")));
  EXPECT_EQ(info.reason(), "UNAVAILABLE");
  EXPECT_EQ(info.domain(), "emserve.dev");
}

TEST(Status, TakesTheFieldPathFromTheMessage) {
  const auto bad = Find<google::rpc::BadRequest>(ToProto(
      absl::InvalidArgumentError("fit.model.mixture.num_components: got 0, must be 1 or more")));
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "fit.model.mixture.num_components");
}

TEST(Status, ProseBeforeAColonIsNoFieldPath) {
  const google::rpc::Status proto =
      ToProto(absl::InvalidArgumentError("the file is bad: no magic"));
  for (const auto& any : proto.details()) {
    EXPECT_FALSE(any.Is<google::rpc::BadRequest>());
  }
}

TEST(Status, AnythingMayStandInTheBracketsOfAFieldPath) {
  EXPECT_EQ(FieldPath("a.b[0].c: got 1"), "a.b[0].c");
  EXPECT_EQ(FieldPath("fit.columns[a b]: got 1"), "fit.columns[a b]");
  EXPECT_EQ(FieldPath("columns[a: b]: got 1"), "columns[a: b]");
  EXPECT_EQ(FieldPath("columns[a]b]: got 1"), "columns[a]b]");
  EXPECT_EQ(FieldPath("means[0, 1]: got inf"), "means[0, 1]");
  EXPECT_EQ(FieldPath("set[key].x-y: got 1"), "set[key].x-y");
  EXPECT_EQ(FieldPath("the file: got 1"), "");
  EXPECT_EQ(FieldPath("columns[a: got 1"), "");
  EXPECT_EQ(FieldPath("a:b: c"), "");
  EXPECT_EQ(FieldPath("abc"), "");
  EXPECT_EQ(FieldPath(""), "");
}

// gRPC clients drop a status whose details exceed 8 KiB.
TEST(Status, StaysSmallWhateverItQuotes) {
  std::string text = "columns[x]: got ";
  while (text.size() < 100000) text += "\u00e4";
  const grpc::Status status = ToGrpcStatus(absl::InvalidArgumentError(text));
  EXPECT_LE(status.error_message().size(), kMaxMessageBytes);
  EXPECT_LE(status.error_details().size(), 4096u);
  EXPECT_TRUE(status.error_message().ends_with("\u00e4..."));
  EXPECT_EQ(Text(FromGrpcStatus(status), kFieldPayload), "columns[x]");
}

TEST(Status, PayloadsSurviveTheWire) {
  absl::Status status(absl::StatusCode::kResourceExhausted, "queue full");
  status.SetPayload(kReasonPayload, absl::Cord("QUEUE_FULL"));
  status.SetPayload(kMetadataPayload, absl::Cord("limit=5\nqueued=5\n"));
  status.SetPayload(kRetryPayload, absl::Cord("1500"));
  status.SetPayload(kQuotaPayload, absl::Cord("max_queued_jobs"));
  status.SetPayload(kResourcePayload, absl::Cord("job\njobs/a"));
  const absl::Status back = FromGrpcStatus(ToGrpcStatus(status));
  EXPECT_EQ(back.code(), status.code());
  EXPECT_EQ(back.message(), status.message());
  EXPECT_EQ(Text(back, kReasonPayload), "QUEUE_FULL");
  EXPECT_EQ(Text(back, kRetryPayload), "1500");
  EXPECT_EQ(Text(back, kQuotaPayload), "max_queued_jobs");
  EXPECT_EQ(Text(back, kResourcePayload), "job\njobs/a");
  EXPECT_NE(Text(back, kMetadataPayload).find("limit=5\n"), std::string::npos);
  EXPECT_NE(Text(back, kMetadataPayload).find("queued=5\n"), std::string::npos);
}

TEST(Status, DamagedDetailsLeaveCodeAndMessage) {
  const absl::Status back =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::NOT_FOUND, "no such job", "\xff\xff garbage"));
  EXPECT_TRUE(absl::IsNotFound(back));
  EXPECT_EQ(back.message(), "no such job");
}

TEST(Status, UnknownCodesBecomeUnknown) {
  google::rpc::Status proto;
  proto.set_code(77);
  proto.set_message("odd");
  EXPECT_EQ(FromProto(proto).code(), absl::StatusCode::kUnknown);
}

}  // namespace
}  // namespace emserve
