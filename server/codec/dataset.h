// Datasets: v1.Dataset to the store's requests and back.
#ifndef EMSERVE_SERVER_CODEC_DATASET_H_
#define EMSERVE_SERVER_CODEC_DATASET_H_

#include <string>

#include "absl/status/statusor.h"
#include "emserve/v1/dataset_service.pb.h"
#include "server/datasets/dataset_store.h"

namespace emserve::server {

// The store's request for `request`. InvalidArgument under "dataset": an unknown element type or
// kind, a malformed time; shapes and names are the store's to check.
absl::StatusOr<NewDataset> DecodeCreateDataset(const v1::CreateDatasetRequest& request);

// Column schema of a wire column under `path`; the summary is ignored.
absl::StatusOr<ColumnSchema> DecodeColumn(const v1::Column& column, const std::string& path);
void EncodeColumn(const ColumnSchema& schema, v1::Column& column);

void EncodeDataset(const DatasetInfo& info, v1::Dataset& dataset);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_DATASET_H_
