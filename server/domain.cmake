# The server's domain: datasets, registry and jobs. No protobuf, no gRPC, so it builds and is tested (under ThreadSanitizer
# too) where the service is not built.
find_package(absl CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Threads REQUIRED)

add_library(emserve_domain STATIC
  ${CMAKE_CURRENT_LIST_DIR}/datasets/dataset.cc
  ${CMAKE_CURRENT_LIST_DIR}/datasets/dataset_record.cc
  ${CMAKE_CURRENT_LIST_DIR}/datasets/dataset_store.cc
  ${CMAKE_CURRENT_LIST_DIR}/datasets/summarizer.cc
  ${CMAKE_CURRENT_LIST_DIR}/digest.cc
  ${CMAKE_CURRENT_LIST_DIR}/errors.cc
  ${CMAKE_CURRENT_LIST_DIR}/executor.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/capabilities.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/event_log.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/fit_data.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/fit_memory.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/fit_plan.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/fit_work.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/job.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/job_table.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/predict_work.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/sweep_work.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/table_columns.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/table_sequences.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/warm_start.cc
  ${CMAKE_CURRENT_LIST_DIR}/jobs/watch_hub.cc
  ${CMAKE_CURRENT_LIST_DIR}/names.cc
  ${CMAKE_CURRENT_LIST_DIR}/page.cc
  ${CMAKE_CURRENT_LIST_DIR}/registry/block_cells.cc
  ${CMAKE_CURRENT_LIST_DIR}/registry/block_inference.cc
  ${CMAKE_CURRENT_LIST_DIR}/registry/model_registry.cc
  ${CMAKE_CURRENT_LIST_DIR}/registry/model_version.cc
  ${CMAKE_CURRENT_LIST_DIR}/registry/prediction.cc
  ${CMAKE_CURRENT_LIST_DIR}/registry/predictor.cc
  ${CMAKE_CURRENT_LIST_DIR}/registry/predictor_limits.cc
  ${CMAKE_CURRENT_LIST_DIR}/registry/sequence_paths.cc)
target_link_libraries(emserve_domain
  PUBLIC emserve::core absl::status absl::statusor absl::time Threads::Threads
  PRIVATE emserve_options absl::cord absl::strings OpenSSL::Crypto)
target_include_directories(emserve_domain PUBLIC ${PROJECT_SOURCE_DIR})
