#include "client/emctl/json.h"

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/emctl/derived.h"
#include "client/emctl/words.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/rpc/status.pb.h"
#include "proto/wire/tensor.h"

namespace emserve::emctl {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

Json Nested(std::span<const double> values, std::span<const int64_t> shape) {
  if (shape.empty()) return NumberToJson(values[0]);
  Json out = Json::array();
  const size_t extent = static_cast<size_t>(shape[0]);
  const size_t stride = extent == 0 ? 0 : values.size() / extent;
  for (size_t i = 0; i < extent; ++i) {
    out.push_back(Nested(values.subspan(i * stride, stride), shape.subspan(1)));
  }
  return out;
}

Json TimeToJson(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ",
                          absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos()),
                          absl::UTCTimeZone());
}

Json Numbers(std::span<const double> values) {
  Json out = Json::array();
  for (const double value : values) out.push_back(NumberToJson(value));
  return out;
}

Json ParametersToJson(const v1::Parameters& parameters) {
  Json out = Json::object();
  for (const v1::NamedTensor& array : parameters.arrays()) {
    out[array.name()] = TensorToJson(array.tensor());
  }
  return out;
}

Json StatusToJson(const google::rpc::Status& status) {
  return {{"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(status.code()))},
          {"message", status.message()}};
}

// The value of a field that is not repeated, or one element (`index` >= 0) of one that is.
Json ValueToJson(const Message& message, const FieldDescriptor& field, int index) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const bool one = index < 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return one ? reflection.GetBool(message, &field)
                 : reflection.GetRepeatedBool(message, &field, index);
    case FieldDescriptor::CPPTYPE_INT32:
      return one ? reflection.GetInt32(message, &field)
                 : reflection.GetRepeatedInt32(message, &field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return one ? reflection.GetInt64(message, &field)
                 : reflection.GetRepeatedInt64(message, &field, index);
    case FieldDescriptor::CPPTYPE_UINT32:
      return one ? reflection.GetUInt32(message, &field)
                 : reflection.GetRepeatedUInt32(message, &field, index);
    case FieldDescriptor::CPPTYPE_UINT64:
      return one ? reflection.GetUInt64(message, &field)
                 : reflection.GetRepeatedUInt64(message, &field, index);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return one ? reflection.GetFloat(message, &field)
                 : reflection.GetRepeatedFloat(message, &field, index);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberToJson(one ? reflection.GetDouble(message, &field)
                              : reflection.GetRepeatedDouble(message, &field, index));
    case FieldDescriptor::CPPTYPE_STRING:
      return one ? reflection.GetString(message, &field)
                 : reflection.GetRepeatedString(message, &field, index);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumWord(*field.enum_type(),
                      one ? reflection.GetEnumValue(message, &field)
                          : reflection.GetRepeatedEnumValue(message, &field, index));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return ToJson(one ? reflection.GetMessage(message, &field)
                    : reflection.GetRepeatedMessage(message, &field, index));
}

bool HasValue(const Message& message, const FieldDescriptor& field) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (field.has_presence()) return reflection.HasField(message, &field);
  return field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM ||
         reflection.GetEnumValue(message, &field) != 0;
}

}  // namespace

Json NumberToJson(double value) {
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

Json TensorToJson(const v1::Tensor& tensor) {
  const absl::StatusOr<std::vector<double>> values = DecodeTensor(tensor, "tensor");
  if (!values.ok()) return nullptr;
  return Nested(*values,
                std::span(tensor.shape().data(), static_cast<size_t>(tensor.shape_size())));
}

Json ToJson(const Message& message) {
  const google::protobuf::Descriptor& descriptor = *message.GetDescriptor();
  if (&descriptor == google::protobuf::Timestamp::descriptor()) {
    return TimeToJson(static_cast<const google::protobuf::Timestamp&>(message));
  }
  if (&descriptor == google::protobuf::Duration::descriptor()) {
    const auto& duration = static_cast<const google::protobuf::Duration&>(message);
    return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
  }
  if (&descriptor == google::rpc::Status::descriptor()) {
    return StatusToJson(static_cast<const google::rpc::Status&>(message));
  }
  if (&descriptor == v1::Parameters::descriptor()) {
    return ParametersToJson(static_cast<const v1::Parameters&>(message));
  }
  if (&descriptor == v1::Tensor::descriptor()) {
    return TensorToJson(static_cast<const v1::Tensor&>(message));
  }
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  Json out = Json::object();
  for (int f = 0; f < descriptor.field_count(); ++f) {
    const FieldDescriptor& field = *descriptor.field(f);
    if (field.is_map()) {
      Json map = Json::object();
      for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
        const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
        const std::string key =
            entry.GetReflection()->GetString(entry, field.message_type()->map_key());
        map[key] = ValueToJson(entry, *field.message_type()->map_value(), -1);
      }
      out[field.name()] = std::move(map);
    } else if (field.is_repeated()) {
      Json list = Json::array();
      for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
        list.push_back(ValueToJson(message, field, i));
      }
      out[field.name()] = std::move(list);
    } else if (HasValue(message, field)) {
      out[field.name()] = ValueToJson(message, field, -1);
    }
  }
  return out;
}

Json FitDocument(const v1::ModelVersion& version, const std::vector<v1::WarningEvent>& warnings,
                 const std::vector<std::string>& label_names) {
  const v1::FitReport& report = version.report();
  const v1::Criteria& criteria = report.criteria();
  const bool has_likelihood = !version.spec().model().has_kmeans();
  Json columns = Json::array();
  for (const v1::Column& column : version.columns()) columns.push_back(column.name());
  Json warning_list = Json::array();
  for (const v1::WarningEvent& warning : warnings) warning_list.push_back(ToJson(warning));
  Json optima = Json::array();
  for (const v1::Optimum& optimum : report.optima()) optima.push_back(ToJson(optimum));
  Json repairs = Json::array();
  for (const v1::Repair& repair : report.repairs()) repairs.push_back(ToJson(repair));
  Json document = {
      {"model", version.name()},
      {"job", version.job()},
      {"family", version.family()},
      {"log_likelihood", NumberToJson(report.log_likelihood())},
      {"objective", NumberToJson(report.objective())},
      {"aic", has_likelihood ? NumberToJson(criteria.aic()) : Json()},
      {"bic", has_likelihood ? NumberToJson(criteria.bic()) : Json()},
      {"icl", has_likelihood ? NumberToJson(criteria.icl()) : Json()},
      {"degrees_of_freedom", criteria.degrees_of_freedom()},
      {"log_prior", NumberToJson(report.log_prior())},
      {"entropy", criteria.has_entropy() ? NumberToJson(criteria.entropy()) : Json()},
      {"relative_entropy",
       criteria.has_relative_entropy() ? NumberToJson(criteria.relative_entropy()) : Json()},
      {"separation",
       Numbers({criteria.separation().data(), static_cast<size_t>(criteria.separation_size())})},
      {"num_observations", criteria.num_observations()},
      {"num_rows", version.num_rows()},
      {"termination", EnumWord(*v1::Termination_descriptor(), report.termination())},
      {"message", report.message()},
      {"iterations", report.iterations()},
      {"total_iterations", report.total_iterations()},
      {"evaluations", report.evaluations()},
      {"total_evaluations", report.total_evaluations()},
      {"restart", report.restart()},
      {"seed", version.spec().seed()},
      {"columns", std::move(columns)},
      {"parameters", ToJson(version.parameters())},
      {"optima", std::move(optima)},
      {"repairs", std::move(repairs)},
      {"warnings", std::move(warning_list)},
  };
  Json levels = Json::object();
  for (const v1::Column& column : version.columns()) {
    if (column.levels_size() == 0) continue;
    levels[column.name()] =
        std::vector<std::string>(column.levels().begin(), column.levels().end());
  }
  if (!levels.empty()) document["levels"] = std::move(levels);
  if (!label_names.empty()) document["label_names"] = label_names;
  if (version.derived_size() > 0) {
    for (const char* name : {"expected_durations", "stationary"}) {
      const std::vector<double> values = DerivedOf(version, name);
      document[name] = values.empty() ? Json() : Numbers(values);
    }
  }
  if (report.past_observations() > 0) {
    document["past_observations"] = NumberToJson(report.past_observations());
  }
  if (!version.has_parameters()) {
    for (const char* key : {"family", "num_rows", "columns", "parameters"}) document[key] = nullptr;
  }
  return document;
}

}  // namespace emserve::emctl
