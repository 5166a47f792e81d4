// What tests of the server's domain share: a clock that is set by hand, a gate, statuses, small
// tables.
#ifndef EMSERVE_TESTS_SERVER_DOMAIN_TEST_H_
#define EMSERVE_TESTS_SERVER_DOMAIN_TEST_H_

#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/runtime/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/clock.h"
#include "server/datasets/dataset_store.h"

namespace emserve::server {

// A clock that stands still until it is told otherwise. Thread-safe.
class FakeClock {
 public:
  absl::Time Now() const {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    const std::lock_guard lock(mutex_);
    now_ += by;
  }
  Clock get() {
    return [this] { return Now(); };
  }

 private:
  mutable std::mutex mutex_;
  absl::Time now_ = absl::FromUnixSeconds(1700000000);
};

// Closed at first; whoever waits goes on once it has been opened.
class Gate {
 public:
  void Open() {
    // Notified under the lock: whoever waits may destroy the gate right after.
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

inline absl::Status StatusOf(const absl::Status& status) { return status; }
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "") {
  const absl::Status status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.ok();
}

MATCHER_P2(FailsWith, code, text, "") {
  const absl::Status status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code && std::string(status.message()).find(text) != std::string::npos;
}

// `values` as bytes of a content.
template <typename T>
std::string Packed(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline DatasetSchema RealColumns(std::initializer_list<const char*> names, int64_t num_rows) {
  DatasetSchema schema;
  for (const char* name : names) schema.columns.push_back({.name = name});
  schema.num_rows = num_rows;
  return schema;
}

// Waits until the dataset has left UPLOADING.
inline absl::StatusOr<DatasetInfo> WaitSealed(DatasetStore& store, const std::string& id) {
  Gate sealed;
  absl::StatusOr<DatasetInfo> info = absl::UnknownError("not called");
  store.WhenSealed(id, [&](absl::StatusOr<DatasetInfo> result) {
    info = std::move(result);
    sealed.Open();
  });
  sealed.Wait();
  return info;
}

// Creates, fills and seals a dataset.
inline absl::StatusOr<DatasetInfo> Upload(DatasetStore& store, const std::string& id,
                                          DatasetSchema schema, std::string_view bytes) {
  NewDataset request;
  request.id = id;
  request.schema = std::move(schema);
  if (absl::StatusOr<DatasetInfo> made = store.Create(request); !made.ok()) return made;
  {
    absl::StatusOr<std::unique_ptr<DatasetWriter>> writer = store.OpenWriter(id);
    if (!writer.ok()) return writer.status();
    if (absl::Status status = (*writer)->Append(0, bytes); !status.ok()) return status;
  }
  return WaitSealed(store, id);
}

// Rows of two clusters around (0, 0) and (10, 10), interleaved; `columns` numbers a row.
inline std::vector<double> TwoClusters(int64_t num_rows, int columns, uint64_t seed) {
  Random random(seed, 0);
  std::vector<double> cells;
  for (int64_t i = 0; i < num_rows; ++i) {
    for (int c = 0; c < columns; ++c) cells.push_back(random.Normal() + (i % 2 == 0 ? 0 : 10));
  }
  return cells;
}

}  // namespace emserve::server

#endif  // EMSERVE_TESTS_SERVER_DOMAIN_TEST_H_
