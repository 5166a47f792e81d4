#include "client/emctl/set_field.h"

#include <optional>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/csv.h"
#include "client/emctl/number_word.h"
#include "client/emctl/words.h"
#include "google/protobuf/duration.pb.h"

namespace emserve::emctl {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Sets or, in a list, adds.
template <typename T>
std::string SetNumber(Message& message, const FieldDescriptor& field, const std::string& word,
                      void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
                      void (Reflection::*add)(Message*, const FieldDescriptor*, T) const) {
  T value = 0;
  std::string must = ParseNumberInto(word, value);
  if (must.empty()) {
    const Reflection& reflection = *message.GetReflection();
    (reflection.*(field.is_repeated() ? add : set))(&message, &field, value);
  }
  return must;
}

std::string SetEnum(Message& message, const FieldDescriptor& field, const std::string& word) {
  const std::optional<int> value = ParseEnumWord(*field.enum_type(), word);
  if (!value.has_value()) return absl::StrJoin(EnumOptionWords(*field.enum_type()), ", ");
  const Reflection& reflection = *message.GetReflection();
  if (field.is_repeated()) {
    reflection.AddEnumValue(&message, &field, *value);
  } else {
    reflection.SetEnumValue(&message, &field, *value);
  }
  return "";
}

std::string SetMessage(Message& message, const FieldDescriptor& field, const std::string& word) {
  Message& inner = *message.GetReflection()->MutableMessage(&message, &field);
  if (field.message_type() != google::protobuf::Duration::descriptor()) return "";
  const std::optional<absl::Duration> duration = ParseSeconds(word);
  if (!duration.has_value()) return "a positive duration such as 90s, 5m or 1h30m";
  inner.CopyFrom(ToProto(*duration));
  return "";
}

std::string SetOne(Message& message, const FieldDescriptor& field, const std::string& word) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return SetNumber<int32_t>(message, field, word, &Reflection::SetInt32, &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return SetNumber<int64_t>(message, field, word, &Reflection::SetInt64, &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetNumber<uint64_t>(message, field, word, &Reflection::SetUInt64,
                                 &Reflection::AddUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return SetNumber<double>(message, field, word, &Reflection::SetDouble,
                               &Reflection::AddDouble);
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(message, field, word);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return SetMessage(message, field, word);
    case FieldDescriptor::CPPTYPE_BOOL:
      if (word != "true" && word != "false") return "true or false";
      reflection.SetBool(&message, &field, word == "true");
      return "";
    case FieldDescriptor::CPPTYPE_STRING:
      if (field.is_repeated()) {
        reflection.AddString(&message, &field, word);
      } else {
        reflection.SetString(&message, &field, word);
      }
      return "";
    default:
      return "something that this emctl can read";  // no field of a specification
  }
}

}  // namespace

std::string SetField(Message& root, std::string_view path, const std::string& word) {
  Message* message = &root;
  while (true) {
    const size_t dot = path.find('.');
    const FieldDescriptor* const field =
        message->GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
    if (dot != std::string_view::npos) {
      message = message->GetReflection()->MutableMessage(message, field);
      path.remove_prefix(dot + 1);
      continue;
    }
    if (!field->is_repeated()) return SetOne(*message, *field, word);
    const absl::StatusOr<std::vector<std::string>> parts = client::SplitCsvRecord(word);
    if (!parts.ok()) return "a list with commas, its quotes closed";
    for (const std::string& part : *parts) {
      std::string must = SetOne(*message, *field, part);
      if (!must.empty()) return must;
    }
    return parts->empty() ? "a list with commas, at least one" : "";
  }
}

bool HasField(const google::protobuf::Descriptor& message, std::string_view path) {
  const size_t dot = path.find('.');
  const FieldDescriptor* const field = message.FindFieldByName(std::string(path.substr(0, dot)));
  if (field == nullptr || dot == std::string_view::npos) return field != nullptr;
  return field->message_type() != nullptr && HasField(*field->message_type(), path.substr(dot + 1));
}

}  // namespace emserve::emctl
