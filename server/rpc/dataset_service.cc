#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "emserve/v1/dataset_service.grpc.pb.h"
#include "proto/wire/crc32c.h"
#include "server/codec/dataset.h"
#include "server/errors.h"
#include "server/names.h"
#include "server/rpc/byte_stream.h"
#include "server/rpc/page_answer.h"
#include "server/rpc/services.h"

namespace emserve::server {
namespace {

constexpr int64_t kMaxChunk = int64_t{4} << 20;

// One upload: copies chunks as they come and answers once the client is done or the dataset is
// sealed.
class WriteReactor final : public grpc::ServerReadReactor<v1::WriteDatasetRequest> {
 public:
  WriteReactor(Calls& calls, grpc::CallbackServerContext& context, DatasetStore& datasets,
               v1::WriteDatasetResponse& response)
      : call_(calls, context, "DatasetService.WriteDataset"),
        datasets_(datasets),
        response_(response) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Answer();
    const absl::Status status = call_.Try([this] { return Take(); });
    if (!status.ok()) return End(status);
    if (writer_->complete()) return Answer();
    StartRead(&request_);
  }

  void OnDone() override { delete this; }

 private:
  absl::Status Take() {
    if (writer_ == nullptr) {
      absl::StatusOr<std::string> id = ParseDatasetName("name", request_.name());
      if (!id.ok()) return id.status();
      absl::StatusOr<std::unique_ptr<DatasetWriter>> writer = datasets_.OpenWriter(*id);
      if (!writer.ok()) return writer.status();
      id_ = *std::move(id);
      writer_ = *std::move(writer);
      call_.Note("dataset", id_);
    } else if (!request_.name().empty() && request_.name() != DatasetName(id_)) {
      return InvalidArgument(
          "name", "got another dataset than the stream began with, must be the same or empty");
    }
    const std::string& data = request_.data();
    if (static_cast<int64_t>(data.size()) > kMaxChunk) {
      return InvalidArgument(
          "data", absl::StrCat("got ", data.size(), " bytes, must be at most ", kMaxChunk));
    }
    if (request_.has_crc32c()) {
      if (const uint32_t actual = Crc32c(data); actual != request_.crc32c()) {
        return absl::DataLossError(
            absl::StrCat("crc32c: got ", request_.crc32c(), ", must be ", actual,
                         " for the bytes that arrived; send the chunk again"));
      }
    }
    return writer_->Append(request_.write_offset(), data);
  }

  void Answer() {
    if (call_.cancelled()) return End(absl::CancelledError("the caller has gone"));
    if (writer_ == nullptr) {
      return End(
          InvalidArgument("name", "got none, must be the dataset's name in the first message"));
    }
    // The next stream may come before this one is gone.
    const std::unique_ptr<DatasetWriter> writer = std::move(writer_);
    writer->Close([this](const absl::StatusOr<DatasetInfo>& info) { End(Describe(info)); });
  }

  absl::Status Describe(const absl::StatusOr<DatasetInfo>& info) {
    if (!info.ok()) return info.status();
    EncodeDataset(*info, *response_.mutable_dataset());
    return absl::OkStatus();
  }

  void End(const absl::Status& status) {
    writer_.reset();
    Finish(call_.End(status));
  }

  Call call_;
  DatasetStore& datasets_;
  v1::WriteDatasetResponse& response_;
  v1::WriteDatasetRequest request_;
  std::string id_;
  std::unique_ptr<DatasetWriter> writer_;
};

class DatasetService final : public v1::DatasetService::CallbackService {
 public:
  explicit DatasetService(const ServiceEnvironment& environment)
      : calls_(*environment.calls), datasets_(*environment.datasets) {}

  grpc::ServerUnaryReactor* CreateDataset(grpc::CallbackServerContext* context,
                                          const v1::CreateDatasetRequest* request,
                                          v1::CreateDatasetResponse* response) override {
    return calls_.Queue(calls_.control(), context, "DatasetService.CreateDataset", *request,
                        *response, [=, this](Call& call) -> absl::Status {
                          absl::StatusOr<NewDataset> wanted = DecodeCreateDataset(*request);
                          if (!wanted.ok()) return wanted.status();
                          absl::StatusOr<DatasetInfo> info = datasets_.Create(*wanted);
                          if (!info.ok()) return UnderDataset(info.status());
                          call.Note("dataset", info->id);
                          EncodeDataset(*info, *response->mutable_dataset());
                          return absl::OkStatus();
                        });
  }

  grpc::ServerReadReactor<v1::WriteDatasetRequest>* WriteDataset(
      grpc::CallbackServerContext* context, v1::WriteDatasetResponse* response) override {
    return new WriteReactor(calls_, *context, datasets_, *response);
  }

  grpc::ServerWriteReactor<v1::ReadDatasetResponse>* ReadDataset(
      grpc::CallbackServerContext* context, const v1::ReadDatasetRequest* request) override {
    auto* reactor = new ByteStreamReactor<v1::ReadDatasetResponse>(calls_, *context,
                                                                   "DatasetService.ReadDataset");
    reactor->Prepare([this, reactor, request]() -> absl::Status {
      absl::StatusOr<std::string> id = ParseDatasetName("name", request->name());
      if (!id.ok()) return id.status();
      absl::StatusOr<std::shared_ptr<const DatasetContent>> content = datasets_.Content(*id);
      if (!content.ok()) return content.status();
      const std::string_view bytes = (*content)->bytes();
      if (request->offset() < 0 || request->offset() > static_cast<int64_t>(bytes.size())) {
        return absl::OutOfRangeError(absl::StrCat("offset: got ", request->offset(),
                                                  ", must be 0 to ", bytes.size(), ", the size"));
      }
      reactor->Send(bytes, *content, static_cast<size_t>(request->offset()),
                    [](v1::ReadDatasetResponse& chunk, int64_t offset) {
                      chunk.set_offset(offset);
                      chunk.set_crc32c(Crc32c(chunk.data()));
                    });
      return absl::OkStatus();
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* GetDataset(grpc::CallbackServerContext* context,
                                       const v1::GetDatasetRequest* request,
                                       v1::GetDatasetResponse* response) override {
    return calls_.Now(context, "DatasetService.GetDataset", *response, [&](Call&) -> absl::Status {
      absl::StatusOr<std::string> id = ParseDatasetName("name", request->name());
      if (!id.ok()) return id.status();
      absl::StatusOr<DatasetInfo> info = datasets_.Get(*id);
      if (!info.ok()) return info.status();
      EncodeDataset(*info, *response->mutable_dataset());
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ListDatasets(grpc::CallbackServerContext* context,
                                         const v1::ListDatasetsRequest* request,
                                         v1::ListDatasetsResponse* response) override {
    return calls_.Queue(calls_.control(), context, "DatasetService.ListDatasets", *request,
                        *response, [=, this](Call&) -> absl::Status {
                          return AnswerPage(
                              {request->page_size(), request->page_token()}, *response,
                              [&](const PageRequest& page) { return datasets_.List(page); },
                              [&](const DatasetInfo& info) -> const v1::Dataset& {
                                v1::Dataset& dataset = *response->add_datasets();
                                EncodeDataset(info, dataset);
                                return dataset;
                              });
                        });
  }

  grpc::ServerUnaryReactor* DeleteDataset(grpc::CallbackServerContext* context,
                                          const v1::DeleteDatasetRequest* request,
                                          v1::DeleteDatasetResponse* response) override {
    return calls_.Now(context, "DatasetService.DeleteDataset", *response,
                      [&](Call&) -> absl::Status {
                        absl::StatusOr<std::string> id = ParseDatasetName("name", request->name());
                        if (!id.ok()) return id.status();
                        return datasets_.Delete(*id);
                      });
  }

 private:
  // The store names fields of a Dataset; the ids stand beside it in the request.
  static absl::Status UnderDataset(const absl::Status& status) {
    const std::string message(status.message());
    if (!absl::IsInvalidArgument(status) || message.starts_with("dataset_id") ||
        message.starts_with("request_id")) {
      return status;
    }
    return Reworded(status, absl::StrCat("dataset.", message));
  }

  Calls& calls_;
  DatasetStore& datasets_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeDatasetService(const ServiceEnvironment& environment) {
  return std::make_unique<DatasetService>(environment);
}

}  // namespace emserve::server
