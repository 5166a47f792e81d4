#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "emserve/v1/model_service.grpc.pb.h"
#include "server/codec/model.h"
#include "server/errors.h"
#include "server/memory_budget.h"
#include "server/names.h"
#include "server/page.h"
#include "server/rpc/byte_stream.h"
#include "server/rpc/page_answer.h"
#include "server/rpc/services.h"

namespace emserve::server {
namespace {

constexpr int64_t kMaxImportChunk = int64_t{4} << 20;
// Files that are being imported may take this many times the largest one together.
constexpr int64_t kImportsAtOnce = 4;
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

// Collects a portable file and turns it into a version.
class ImportReactor final : public grpc::ServerReadReactor<v1::ImportModelVersionRequest> {
 public:
  ImportReactor(Calls& calls, grpc::CallbackServerContext& context, ModelRegistry& registry,
                int64_t max_bytes, MemoryBudget& all, v1::ImportModelVersionResponse& response)
      : call_(calls, context, "ModelService.ImportModelVersion"),
        calls_(calls),
        registry_(registry),
        max_bytes_(max_bytes),
        hold_(all),
        response_(response) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      const absl::Status status = call_.Try([this] { return Take(); });
      if (status.ok()) return StartRead(&request_);
      return End(status);
    }
    if (call_.cancelled()) return End(absl::CancelledError("the caller has gone"));
    const absl::Status queued =
        calls_.control().Submit([this] { End(call_.Try([this] { return Import(); })); });
    if (!queued.ok()) End(queued);
  }

  void OnDone() override { delete this; }

 private:
  absl::Status Take() {
    if (!named_) {
      named_ = true;
      model_ = request_.model_id();
      if (absl::Status status = CheckId("model_id", model_); !status.ok()) return status;
    } else if (!request_.model_id().empty() && request_.model_id() != model_) {
      return InvalidArgument("model_id", absl::StrCat("got '", request_.model_id(), "' after '",
                                                      model_, "', must be the same or empty"));
    }
    const auto size = static_cast<int64_t>(request_.data().size());
    if (size > kMaxImportChunk) {
      return InvalidArgument(
          "data", absl::StrCat("got ", size, " bytes, must be at most ", kMaxImportChunk));
    }
    if (size > max_bytes_ - static_cast<int64_t>(file_.size())) {
      return ResourceExhausted("MODEL_FILE_TOO_LARGE", "max_import_bytes",
                               absl::StrCat("data: got more than ", max_bytes_,
                                            " bytes, the most a model file may have"),
                               absl::ZeroDuration());
    }
    if (!hold_.Add(size)) {
      return ResourceExhausted("IMPORT_MEMORY_FULL", "max_import_bytes",
                               "data: got a file while others that are being imported take all the "
                               "room there is; try again later",
                               kRetryDelay);
    }
    file_.append(request_.data());
    return absl::OkStatus();
  }

  // A caller that hears of the end finds room for what it sends next.
  void End(const absl::Status& status) {
    std::string().swap(file_);
    hold_.Drop();
    Finish(call_.End(status));
  }

  absl::Status Import() {
    if (!named_)
      return InvalidArgument("model_id",
                             "got none, must be the id of the model that gets a version");
    absl::StatusOr<ModelVersion> version = DecodeModelFile(file_);
    if (!version.ok()) return version.status();
    absl::StatusOr<ResolvedVersion> added = registry_.Add(model_, *std::move(version));
    if (!added.ok()) return added.status();
    EncodeModelVersion(*added, true, *response_.mutable_model_version());
    return absl::OkStatus();
  }

  Call call_;
  Calls& calls_;
  ModelRegistry& registry_;
  const int64_t max_bytes_;
  MemoryHold hold_;
  v1::ImportModelVersionResponse& response_;
  v1::ImportModelVersionRequest request_;
  bool named_ = false;
  std::string model_;
  std::string file_;
};

class ModelService final : public v1::ModelService::CallbackService {
 public:
  explicit ModelService(const ServiceEnvironment& environment)
      : calls_(*environment.calls),
        registry_(*environment.registry),
        max_import_bytes_(environment.options->max_import_bytes),
        imports_(kImportsAtOnce * max_import_bytes_) {}

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override {
    return calls_.Now(context, "ModelService.GetModel", *response, [&](Call&) -> absl::Status {
      absl::StatusOr<std::string> id = ParseModelName("name", request->name());
      if (!id.ok()) return id.status();
      absl::StatusOr<std::shared_ptr<const ModelLine>> line = registry_.Get(*id);
      if (!line.ok()) return line.status();
      EncodeModel(**line, *response->mutable_model());
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override {
    return calls_.Queue(
        calls_.control(), context, "ModelService.ListModels", *request, *response,
        [=, this](Call&) -> absl::Status {
          return AnswerPage(
              {request->page_size(), request->page_token()}, *response,
              [&](const PageRequest& page) { return registry_.List(page); },
              [&](const std::shared_ptr<const ModelLine>& line) -> const v1::Model& {
                v1::Model& model = *response->add_models();
                EncodeModel(*line, model);
                return model;
              });
        });
  }

  grpc::ServerUnaryReactor* DeleteModel(grpc::CallbackServerContext* context,
                                        const v1::DeleteModelRequest* request,
                                        v1::DeleteModelResponse* response) override {
    return calls_.Now(context, "ModelService.DeleteModel", *response, [&](Call&) -> absl::Status {
      absl::StatusOr<std::string> id = ParseModelName("name", request->name());
      if (!id.ok()) return id.status();
      return registry_.DeleteModel(*id, request->force());
    });
  }

  grpc::ServerUnaryReactor* GetModelVersion(grpc::CallbackServerContext* context,
                                            const v1::GetModelVersionRequest* request,
                                            v1::GetModelVersionResponse* response) override {
    return calls_.Queue(calls_.control(), context, "ModelService.GetModelVersion", *request,
                        *response, [=, this](Call&) -> absl::Status {
                          absl::StatusOr<ResolvedVersion> found =
                              registry_.Resolve("name", request->name());
                          if (!found.ok()) return found.status();
                          EncodeModelVersion(*found, true, *response->mutable_model_version());
                          return absl::OkStatus();
                        });
  }

  grpc::ServerUnaryReactor* ListModelVersions(grpc::CallbackServerContext* context,
                                              const v1::ListModelVersionsRequest* request,
                                              v1::ListModelVersionsResponse* response) override {
    return calls_.Queue(
        calls_.control(), context, "ModelService.ListModelVersions", *request, *response,
        [=, this](Call&) -> absl::Status {
          absl::StatusOr<std::string> id = ParseModelName("parent", request->parent());
          if (!id.ok()) return id.status();
          return AnswerPage(
              {request->page_size(), request->page_token()}, *response,
              [&](const PageRequest& page) { return registry_.ListVersions(*id, page); },
              [&](const ResolvedVersion& item) -> const v1::ModelVersion& {
                v1::ModelVersion& version = *response->add_model_versions();
                EncodeModelVersion(item, false, version);
                return version;
              });
        });
  }

  grpc::ServerUnaryReactor* DeleteModelVersion(grpc::CallbackServerContext* context,
                                               const v1::DeleteModelVersionRequest* request,
                                               v1::DeleteModelVersionResponse* response) override {
    return calls_.Now(context, "ModelService.DeleteModelVersion", *response,
                      [&](Call&) { return registry_.DeleteVersion(request->name()); });
  }

  grpc::ServerUnaryReactor* SetModelAlias(grpc::CallbackServerContext* context,
                                          const v1::SetModelAliasRequest* request,
                                          v1::SetModelAliasResponse* response) override {
    return calls_.Now(context, "ModelService.SetModelAlias", *response, [&](Call&) -> absl::Status {
      auto line = registry_.SetAlias(request->name(), request->alias());
      if (!line.ok()) return line.status();
      EncodeModel(**line, *response->mutable_model());
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* DeleteModelAlias(grpc::CallbackServerContext* context,
                                             const v1::DeleteModelAliasRequest* request,
                                             v1::DeleteModelAliasResponse* response) override {
    return calls_.Now(context, "ModelService.DeleteModelAlias", *response,
                      [&](Call&) -> absl::Status {
                        absl::StatusOr<std::string> id = ParseModelName("name", request->name());
                        if (!id.ok()) return id.status();
                        auto line = registry_.DeleteAlias(*id, request->alias());
                        if (!line.ok()) return line.status();
                        EncodeModel(**line, *response->mutable_model());
                        return absl::OkStatus();
                      });
  }

  grpc::ServerUnaryReactor* UpdateModelTags(grpc::CallbackServerContext* context,
                                            const v1::UpdateModelTagsRequest* request,
                                            v1::UpdateModelTagsResponse* response) override {
    return calls_.Now(context, "ModelService.UpdateModelTags", *response,
                      [&](Call&) -> absl::Status {
                        absl::StatusOr<Tags> tags = registry_.UpdateTags(
                            request->name(), Tags(request->set().begin(), request->set().end()),
                            {request->remove().begin(), request->remove().end()});
                        if (!tags.ok()) return tags.status();
                        response->mutable_tags()->insert(tags->begin(), tags->end());
                        return absl::OkStatus();
                      });
  }

  grpc::ServerUnaryReactor* ListModelAuditEntries(
      grpc::CallbackServerContext* context, const v1::ListModelAuditEntriesRequest* request,
      v1::ListModelAuditEntriesResponse* response) override {
    return calls_.Queue(
        calls_.control(), context, "ModelService.ListModelAuditEntries", *request, *response,
        [=, this](Call&) -> absl::Status {
          absl::StatusOr<std::string> id = ParseModelName("parent", request->parent());
          if (!id.ok()) return id.status();
          return AnswerPage(
              {request->page_size(), request->page_token()}, *response,
              [&](const PageRequest& page) { return registry_.ListAudit(*id, page); },
              [&](const std::shared_ptr<const AuditEntry>& item) -> const v1::ModelAuditEntry& {
                v1::ModelAuditEntry& entry = *response->add_audit_entries();
                EncodeAuditEntry(*item, entry);
                return entry;
              });
        });
  }

  grpc::ServerWriteReactor<v1::ExportModelVersionResponse>* ExportModelVersion(
      grpc::CallbackServerContext* context, const v1::ExportModelVersionRequest* request) override {
    auto* reactor = new ByteStreamReactor<v1::ExportModelVersionResponse>(
        calls_, *context, "ModelService.ExportModelVersion");
    reactor->Prepare([this, reactor, request]() -> absl::Status {
      absl::StatusOr<ResolvedVersion> found = registry_.Resolve("name", request->name());
      if (!found.ok()) return found.status();
      auto file = std::make_shared<const std::string>(EncodeModelFile(*found));
      if (absl::Status status = reactor->call().Hold(static_cast<int64_t>(file->size()));
          !status.ok()) {
        return status;
      }
      reactor->Send(*file, file, 0, [](v1::ExportModelVersionResponse&, int64_t) {});
      return absl::OkStatus();
    });
    return reactor;
  }

  grpc::ServerReadReactor<v1::ImportModelVersionRequest>* ImportModelVersion(
      grpc::CallbackServerContext* context, v1::ImportModelVersionResponse* response) override {
    return new ImportReactor(calls_, *context, registry_, max_import_bytes_, imports_, *response);
  }

 private:
  Calls& calls_;
  ModelRegistry& registry_;
  const int64_t max_import_bytes_;
  MemoryBudget imports_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeModelService(const ServiceEnvironment& environment) {
  return std::make_unique<ModelService>(environment);
}

}  // namespace emserve::server
