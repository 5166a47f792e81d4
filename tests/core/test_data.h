// Data for the core tests: the small public files of tests/data, and made-up mixtures.
#ifndef EMSERVE_TESTS_CORE_TEST_DATA_H_
#define EMSERVE_TESTS_CORE_TEST_DATA_H_

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/runtime/pool.h"
#include "core/runtime/random.h"

namespace emserve::testing {

// The cells of a CSV file below its header line, as text.
inline std::vector<std::vector<std::string>> ReadCsv(const std::string& name) {
  std::ifstream file(std::string(EMSERVE_TEST_DATA) + "/" + name);
  std::vector<std::vector<std::string>> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream cells(line);
    std::vector<std::string> row;
    for (std::string cell; std::getline(cells, cell, ',');) row.push_back(cell);
    if (!row.empty()) rows.push_back(std::move(row));
  }
  return rows;
}

// Row-major numbers [num_rows x num_columns] with optional row weights, easy to change in a test.
struct Data {
  int num_columns = 0;
  std::vector<double> values;
  std::vector<double> weights;  // empty: all 1

  int64_t num_rows() const { return static_cast<int64_t>(values.size()) / num_columns; }
  Table ToTable() const {
    return Table::FromValues(values, num_rows(), num_columns, weights).value();
  }
};

// The first `num_columns` columns of a file of tests/data, times `scale`.
inline Data LoadData(const std::string& name, int num_columns, double scale = 1) {
  Data data{.num_columns = num_columns, .values = {}, .weights = {}};
  for (const std::vector<std::string>& row : ReadCsv(name)) {
    for (int c = 0; c < num_columns; ++c) {
      data.values.push_back(std::strtod(row.at(c).c_str(), nullptr) * scale);
    }
  }
  return data;
}
inline Data Faithful() { return LoadData("faithful.csv", 2); }
inline Data Iris() { return LoadData("iris.csv", 4); }
inline Data GalaxiesInThousands() { return LoadData("galaxies.csv", 1, 1e-3); }

// Cells of any text, numbered from 1 in the order in which they turn up in their column.
inline Data LoadCategories(const std::string& name) {
  Data data;
  std::vector<std::map<std::string, int>> codes;
  for (const std::vector<std::string>& row : ReadCsv(name)) {
    codes.resize(row.size());
    data.num_columns = static_cast<int>(row.size());
    for (size_t c = 0; c < row.size(); ++c) {
      const int next = static_cast<int>(codes[c].size()) + 1;
      data.values.push_back(codes[c].try_emplace(row[c], next).first->second);
    }
  }
  return data;
}

// Rows from `num_components` round Gaussians with standard deviation 1 and centres drawn with
// standard deviation `spread`; row i belongs to component i mod num_components.
inline Data Blobs(int64_t num_rows, int num_columns, int num_components, double spread,
                  uint64_t seed) {
  Random random(seed, 1);
  std::vector<double> centres(static_cast<size_t>(num_components) * num_columns);
  for (double& centre : centres) centre = spread * random.Normal();
  Data data{.num_columns = num_columns, .values = {}, .weights = {}};
  data.values.reserve(num_rows * num_columns);
  for (int64_t i = 0; i < num_rows; ++i) {
    const int64_t k = i % num_components;
    for (int c = 0; c < num_columns; ++c) {
      data.values.push_back(centres[k * num_columns + c] + random.Normal());
    }
  }
  return data;
}

inline Summary SummaryOf(const Table& table) {
  Pool pool(1);
  Pool::Share share(pool);
  return Summarize(table, share, {}).value();
}

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_TEST_DATA_H_
