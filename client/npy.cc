#include "client/npy.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace emserve::client {
namespace {

static_assert(std::endian::native == std::endian::little, ".npy cells are read in place");

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<int64_t>> shape;
};

// Reads the header, a Python dictionary literal with exactly three keys.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  // Nothing if the text is anything else.
  std::optional<Header> Parse() {
    Header header;
    if (!Take('{')) return std::nullopt;
    while (!Take('}')) {
      const std::optional<std::string> key = String();
      if (!key.has_value() || !Take(':')) return std::nullopt;
      if (*key == "descr" && !header.descr.has_value()) {
        header.descr = String();
        if (!header.descr.has_value()) return std::nullopt;
      } else if (*key == "fortran_order" && !header.fortran_order.has_value()) {
        header.fortran_order = Boolean();
        if (!header.fortran_order.has_value()) return std::nullopt;
      } else if (*key == "shape" && !header.shape.has_value()) {
        header.shape = Shape();
        if (!header.shape.has_value()) return std::nullopt;
      } else {
        return std::nullopt;
      }
      if (!Take(',')) {
        if (!Take('}')) return std::nullopt;
        break;
      }
    }
    SkipBlanks();
    const bool complete = header.descr.has_value() && header.fortran_order.has_value() &&
                          header.shape.has_value() && rest_.empty();
    return complete ? std::optional(header) : std::nullopt;
  }

 private:
  void SkipBlanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n"), rest_.size()));
  }

  bool Take(char c) {
    SkipBlanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::optional<std::string> String() {
    SkipBlanks();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return std::nullopt;
    const size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string out(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    if (out.find('\\') != std::string::npos) return std::nullopt;
    return out;
  }

  std::optional<bool> Boolean() {
    SkipBlanks();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (rest_.substr(0, word.size()) == word) {
        rest_.remove_prefix(word.size());
        return value;
      }
    }
    return std::nullopt;
  }

  std::optional<std::vector<int64_t>> Shape() {
    if (!Take('(')) return std::nullopt;
    std::vector<int64_t> shape;
    while (!Take(')')) {
      const std::optional<int64_t> extent = Integer();
      if (!extent.has_value() || shape.size() == 32) return std::nullopt;
      shape.push_back(*extent);
      if (!Take(',')) {
        if (!Take(')')) return std::nullopt;
        break;
      }
    }
    return shape;
  }

  std::optional<int64_t> Integer() {
    SkipBlanks();
    int64_t value = 0;
    size_t digits = 0;
    while (digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9') {
      if (__builtin_mul_overflow(value, int64_t{10}, &value) ||
          __builtin_add_overflow(value, int64_t{rest_[digits] - '0'}, &value)) {
        return std::nullopt;
      }
      ++digits;
    }
    if (digits == 0) return std::nullopt;
    rest_.remove_prefix(digits);
    return value;
  }

  std::string_view rest_;
};

// How the cells lie in the file.
struct Layout {
  size_t rows;
  size_t columns;
  bool fortran_order;
  bool swapped;  // the most significant byte comes first
};

// The cells as doubles, row-major. Stops before one that is an integer beyond 2^53 and returns how
// many were read, in the order of the file.
template <typename T>
size_t Widen(std::string_view cells, const Layout& layout, std::vector<double>& out) {
  const size_t inner = layout.fortran_order ? layout.rows : layout.columns;
  for (size_t i = 0; i < out.size(); ++i) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, cells.data() + i * sizeof(T), sizeof(T));
    if (layout.swapped) std::reverse(bytes, bytes + sizeof(T));
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    if constexpr (std::is_integral_v<T>) {
      constexpr int64_t kLargest = int64_t{1} << 53;
      if (std::cmp_greater(value, kLargest) || std::cmp_less(value, -kLargest)) return i;
    }
    out[layout.fortran_order ? (i % inner) * layout.columns + i / inner : i] =
        static_cast<double>(value);
  }
  return out.size();
}

// A type of elements: what stands in `descr` after the byte order.
struct ElementType {
  std::string_view name;
  int64_t size;
  size_t (*widen)(std::string_view cells, const Layout& layout, std::vector<double>& out);
};

constexpr ElementType kElementTypes[] = {
    {"f8", 8, Widen<double>},   {"f4", 4, Widen<float>},    {"i8", 8, Widen<int64_t>},
    {"i4", 4, Widen<int32_t>},  {"i2", 2, Widen<int16_t>},  {"i1", 1, Widen<int8_t>},
    {"u8", 8, Widen<uint64_t>}, {"u4", 4, Widen<uint32_t>}, {"u2", 2, Widen<uint16_t>},
    {"u1", 1, Widen<uint8_t>},  {"b1", 1, Widen<uint8_t>},
};

const ElementType* FindElementType(std::string_view descr) {
  if (descr.empty() || std::string_view("<>=|").find(descr[0]) == std::string_view::npos) {
    return nullptr;
  }
  for (const ElementType& type : kElementTypes) {
    if (descr.substr(1) == type.name && (descr[0] != '|' || type.size == 1)) return &type;
  }
  return nullptr;
}

}  // namespace

bool LooksLikeNpy(std::string_view bytes) { return bytes.substr(0, kMagic.size()) == kMagic; }

absl::StatusOr<Table> ParseNpy(std::string_view bytes, const std::string& source) {
  const auto bad = [&source](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": ", what...));
  };
  if (!LooksLikeNpy(bytes) || bytes.size() < 10) return bad("got no .npy header, must have one");
  const int major = static_cast<unsigned char>(bytes[6]);
  if (major != 1 && major != 2) {
    return bad("got .npy format ", major, ", must be 1 or 2");
  }
  const size_t length_bytes = major == 1 ? 2 : 4;
  const size_t header_at = 8 + length_bytes;
  size_t header_size = 0;
  if (bytes.size() >= header_at) std::memcpy(&header_size, bytes.data() + 8, length_bytes);
  if (bytes.size() < header_at || header_size > bytes.size() - header_at) {
    return bad("got a truncated .npy header");
  }
  const std::optional<Header> header = HeaderParser(bytes.substr(header_at, header_size)).Parse();
  if (!header.has_value()) {
    return bad("got a .npy header that cannot be read, must hold descr, fortran_order and shape");
  }
  const std::string_view cells = bytes.substr(header_at + header_size);
  const std::string& descr = *header->descr;
  const ElementType* type = FindElementType(descr);
  if (type == nullptr) {
    return bad("got elements of type '", absl::Utf8SafeCHexEscape(descr.substr(0, 40)),
               "', must be numbers of up to 8 bytes; convert with numpy's astype('<f8')");
  }
  const std::vector<int64_t>& shape = *header->shape;
  if (shape.size() != 1 && shape.size() != 2) {
    return bad("got ", shape.size(), " dimensions, must be 1 or 2");
  }
  const int64_t rows = shape[0];
  const int64_t columns = shape.size() == 2 ? shape[1] : 1;
  if (rows < 1 || columns < 1) {
    return bad("got ", rows, " rows and ", columns, " columns, must be at least one of each");
  }
  int64_t size = type->size;
  if (__builtin_mul_overflow(size, rows, &size) || __builtin_mul_overflow(size, columns, &size) ||
      static_cast<uint64_t>(size) != cells.size()) {
    return bad("got ", cells.size(), " bytes of cells, must be ", rows, " x ", columns, " of type ",
               descr);
  }
  Table table;
  table.num_rows = rows;
  for (int64_t c = 0; c < columns; ++c) table.columns.push_back(absl::StrCat("c", c));
  table.values.resize(static_cast<size_t>(rows * columns));
  const Layout layout{.rows = static_cast<size_t>(rows),
                      .columns = static_cast<size_t>(columns),
                      .fortran_order = *header->fortran_order,
                      .swapped = descr[0] == '>'};
  const size_t done = type->widen(cells, layout, table.values);
  if (done < table.values.size()) {
    const size_t inner = layout.fortran_order ? layout.rows : layout.columns;
    const size_t row = layout.fortran_order ? done % inner : done / inner;
    const size_t column = layout.fortran_order ? done / inner : done % inner;
    return bad("got an integer beyond 2^53 in row ", row, ", column c", column,
               ", must be exact as a double; convert with numpy's astype('<f8')");
  }
  return table;
}

}  // namespace emserve::client
