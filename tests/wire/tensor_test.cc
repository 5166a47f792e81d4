#include "proto/wire/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace emserve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<double> kAwkward = {
    0.1, -0.0, 5e-324, 1.7976931348623157e308, std::numeric_limits<double>::infinity(), 1.0 / 3};

TEST(Tensor, DoublesSurviveBothEncodingsBitForBit) {
  const std::vector<int64_t> shape = {2, 3};
  for (const bool packed : {false, true}) {
    v1::Tensor tensor;
    EncodeTensor(kAwkward, shape, packed, tensor);
    v1::Tensor parsed;
    ASSERT_TRUE(parsed.ParseFromString(tensor.SerializeAsString()));
    const auto back = DecodeTensor(parsed, "t");
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(back->size(), kAwkward.size());
    for (size_t i = 0; i < kAwkward.size(); ++i) {
      EXPECT_EQ(std::bit_cast<uint64_t>((*back)[i]), std::bit_cast<uint64_t>(kAwkward[i])) << i;
    }
  }
}

TEST(Tensor, WidensFloatsAndIntegers) {
  v1::Tensor tensor;
  tensor.add_shape(2);
  const float floats[] = {1.5f, -2.25f};
  tensor.set_element_type(v1::ELEMENT_TYPE_FLOAT32);
  tensor.set_data(floats, sizeof(floats));
  EXPECT_THAT(*DecodeTensor(tensor, "t"), ElementsAre(1.5, -2.25));
  const int64_t ints[] = {-3, int64_t{1} << 40};
  tensor.set_element_type(v1::ELEMENT_TYPE_INT64);
  tensor.set_data(ints, sizeof(ints));
  EXPECT_THAT(*DecodeTensor(tensor, "t"), ElementsAre(-3.0, 1099511627776.0));
}

TEST(Tensor, EncodesIntegersExactly) {
  const std::vector<int64_t> labels = {0, 3, 1};
  const std::vector<int64_t> shape = {3};
  for (const bool packed : {false, true}) {
    v1::Tensor tensor;
    EncodeTensor(std::span<const int64_t>(labels), shape, packed, tensor);
    EXPECT_THAT(*DecodeTensor(tensor, "t"), ElementsAre(0, 3, 1));
  }
}

struct Hostile {
  const char* text;
  std::vector<int64_t> shape;
  size_t bytes;
  int values;
  int type;
  const char* message;
};

TEST(Tensor, RefusesWhatDoesNotFit) {
  const Hostile cases[] = {
      {"negative extent", {2, -1}, 0, 0, 0, "t.shape[1]: got -1"},
      {"overflowing product", {int64_t{1} << 40, int64_t{1} << 40}, 0, 0, 0, "2^53"},
      {"overflow back to a small number",
       {int64_t{1} << 32, int64_t{1} << 32, 2},
       16,
       0,
       0,
       "2^53"},
      {"too few bytes", {3}, 16, 0, 0, "t.data: got 16 bytes, must be 24"},
      {"too many values", {3}, 0, 4, 0, "t.values: got 4 elements, must be 3"},
      {"both", {1}, 8, 1, 0, "both values and data"},
      {"unknown type", {1}, 8, 0, 99, "t.element_type: got 99"},
      {"nothing for something", {3}, 0, 0, 0, "t.values: got 0 elements"},
  };
  for (const Hostile& c : cases) {
    v1::Tensor tensor;
    tensor.mutable_shape()->Assign(c.shape.begin(), c.shape.end());
    tensor.set_data(std::string(c.bytes, '\0'));
    for (int i = 0; i < c.values; ++i) tensor.add_values(i);
    tensor.set_element_type(static_cast<v1::ElementType>(c.type));
    const auto result = DecodeTensor(tensor, "t");
    ASSERT_FALSE(result.ok()) << c.text;
    EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << c.text;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.message)) << c.text;
  }
}

TEST(Tensor, EmptyShapesAreScalarsAndZeroExtentsAreEmpty) {
  v1::Tensor scalar;
  scalar.add_values(7);
  EXPECT_THAT(*DecodeTensor(scalar, "t"), ElementsAre(7));
  v1::Tensor empty;
  empty.add_shape(0);
  empty.add_shape(5);
  EXPECT_THAT(*DecodeTensor(empty, "t"), ElementsAre());
}

}  // namespace
}  // namespace emserve
