// The calls of Client that are one question and one answer, page after page for the lists.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "client/stubs.h"

namespace emserve::client {
namespace {

constexpr int64_t kLargestPage = 1000;

// Follows the pages of a list until `limit` items are there. `fetch` answers a request, `items` is
// the list in the answer.
template <typename Item, typename Response, typename Request, typename Fetch>
absl::StatusOr<std::vector<Item>> AllPages(
    Request request, int64_t limit, Fetch fetch,
    google::protobuf::RepeatedPtrField<Item>* (Response::*items)()) {
  std::vector<Item> all;
  while (static_cast<int64_t>(all.size()) < limit) {
    const int64_t missing = limit - static_cast<int64_t>(all.size());
    request.set_page_size(static_cast<int32_t>(std::min(kLargestPage, missing)));
    absl::StatusOr<Response> response = fetch(request);
    if (!response.ok()) return response.status();
    for (Item& item : *((*response).*items)()) all.push_back(std::move(item));
    if (response->next_page_token().empty()) break;
    request.set_page_token(response->next_page_token());
  }
  return all;
}

}  // namespace

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo() {
  return stubs_->Call(stubs_->system, &v1::SystemService::Stub::GetServerInfo,
                      v1::GetServerInfoRequest(), true);
}

absl::StatusOr<v1::Dataset> Client::GetDataset(const std::string& name) {
  v1::GetDatasetRequest request;
  request.set_name(name);
  auto response =
      stubs_->Call(stubs_->datasets, &v1::DatasetService::Stub::GetDataset, request, true);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_dataset());
}

absl::StatusOr<std::vector<v1::Dataset>> Client::ListDatasets(int64_t limit) {
  return AllPages<v1::Dataset, v1::ListDatasetsResponse>(
      v1::ListDatasetsRequest(), limit,
      [this](const v1::ListDatasetsRequest& request) {
        return stubs_->Call(stubs_->datasets, &v1::DatasetService::Stub::ListDatasets, request,
                            true);
      },
      &v1::ListDatasetsResponse::mutable_datasets);
}

absl::Status Client::DeleteDataset(const std::string& name) {
  v1::DeleteDatasetRequest request;
  request.set_name(name);
  return stubs_->Call(stubs_->datasets, &v1::DatasetService::Stub::DeleteDataset, request, false)
      .status();
}

absl::StatusOr<v1::Job> Client::CreateJob(v1::CreateJobRequest request) {
  if (request.request_id().empty()) request.set_request_id(NewRequestId());
  auto response = stubs_->Call(stubs_->jobs, &v1::JobService::Stub::CreateJob, request, true);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_job());
}

absl::StatusOr<v1::Job> Client::CancelJob(const std::string& name) {
  v1::CancelJobRequest request;
  request.set_name(name);
  auto response = stubs_->Call(stubs_->jobs, &v1::JobService::Stub::CancelJob, request, false);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_job());
}

absl::StatusOr<v1::Job> Client::GetJob(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  auto response = stubs_->Call(stubs_->jobs, &v1::JobService::Stub::GetJob, request, true);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_job());
}

absl::StatusOr<std::vector<v1::Job>> Client::ListJobs(int64_t limit,
                                                      const std::vector<v1::JobState>& states) {
  v1::ListJobsRequest first;
  for (const v1::JobState state : states) first.add_states(state);
  return AllPages<v1::Job, v1::ListJobsResponse>(
      first, limit,
      [this](const v1::ListJobsRequest& request) {
        return stubs_->Call(stubs_->jobs, &v1::JobService::Stub::ListJobs, request, true);
      },
      &v1::ListJobsResponse::mutable_jobs);
}

absl::Status Client::DeleteJob(const std::string& name) {
  v1::DeleteJobRequest request;
  request.set_name(name);
  return stubs_->Call(stubs_->jobs, &v1::JobService::Stub::DeleteJob, request, false).status();
}

absl::StatusOr<v1::Model> Client::GetModel(const std::string& name) {
  v1::GetModelRequest request;
  request.set_name(name);
  auto response = stubs_->Call(stubs_->models, &v1::ModelService::Stub::GetModel, request, true);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_model());
}

absl::StatusOr<std::vector<v1::Model>> Client::ListModels(int64_t limit) {
  return AllPages<v1::Model, v1::ListModelsResponse>(
      v1::ListModelsRequest(), limit,
      [this](const v1::ListModelsRequest& request) {
        return stubs_->Call(stubs_->models, &v1::ModelService::Stub::ListModels, request, true);
      },
      &v1::ListModelsResponse::mutable_models);
}

absl::Status Client::DeleteModel(const std::string& name, bool force) {
  v1::DeleteModelRequest request;
  request.set_name(name);
  request.set_force(force);
  return stubs_->Call(stubs_->models, &v1::ModelService::Stub::DeleteModel, request, false)
      .status();
}

absl::StatusOr<v1::ModelVersion> Client::GetModelVersion(const std::string& version) {
  v1::GetModelVersionRequest request;
  request.set_name(version);
  auto response =
      stubs_->Call(stubs_->models, &v1::ModelService::Stub::GetModelVersion, request, true);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_model_version());
}

absl::StatusOr<std::vector<v1::ModelVersion>> Client::ListModelVersions(const std::string& model,
                                                                        int64_t limit) {
  v1::ListModelVersionsRequest first;
  first.set_parent(model);
  return AllPages<v1::ModelVersion, v1::ListModelVersionsResponse>(
      first, limit,
      [this](const v1::ListModelVersionsRequest& request) {
        return stubs_->Call(stubs_->models, &v1::ModelService::Stub::ListModelVersions, request,
                            true);
      },
      &v1::ListModelVersionsResponse::mutable_model_versions);
}

absl::Status Client::DeleteModelVersion(const std::string& version) {
  v1::DeleteModelVersionRequest request;
  request.set_name(version);
  return stubs_->Call(stubs_->models, &v1::ModelService::Stub::DeleteModelVersion, request, false)
      .status();
}

absl::StatusOr<v1::Model> Client::SetModelAlias(const std::string& version,
                                                const std::string& alias) {
  v1::SetModelAliasRequest request;
  request.set_name(version);
  request.set_alias(alias);
  auto response =
      stubs_->Call(stubs_->models, &v1::ModelService::Stub::SetModelAlias, request, false);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_model());
}

absl::StatusOr<v1::Model> Client::DeleteModelAlias(const std::string& model,
                                                   const std::string& alias) {
  v1::DeleteModelAliasRequest request;
  request.set_name(model);
  request.set_alias(alias);
  auto response =
      stubs_->Call(stubs_->models, &v1::ModelService::Stub::DeleteModelAlias, request, false);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_model());
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Client::UpdateModelTags(
    const std::string& name, const std::vector<std::pair<std::string, std::string>>& set,
    const std::vector<std::string>& remove) {
  v1::UpdateModelTagsRequest request;
  request.set_name(name);
  for (const auto& [key, value] : set) (*request.mutable_set())[key] = value;
  for (const std::string& key : remove) request.add_remove(key);
  const auto response =
      stubs_->Call(stubs_->models, &v1::ModelService::Stub::UpdateModelTags, request, false);
  if (!response.ok()) return response.status();
  std::vector<std::pair<std::string, std::string>> tags(response->tags().begin(),
                                                        response->tags().end());
  std::sort(tags.begin(), tags.end());
  return tags;
}

absl::StatusOr<std::vector<v1::ModelAuditEntry>> Client::ListModelHistory(const std::string& model,
                                                                          int64_t limit) {
  v1::ListModelAuditEntriesRequest first;
  first.set_parent(model);
  return AllPages<v1::ModelAuditEntry, v1::ListModelAuditEntriesResponse>(
      first, limit,
      [this](const v1::ListModelAuditEntriesRequest& request) {
        return stubs_->Call(stubs_->models, &v1::ModelService::Stub::ListModelAuditEntries, request,
                            true);
      },
      &v1::ListModelAuditEntriesResponse::mutable_audit_entries);
}

}  // namespace emserve::client
