// Writing a field of a message from a word of the command line: what lets a table of options
// (spec_options.h) stand for the code that would fill in each.
#ifndef EMSERVE_CLIENT_EMCTL_SET_FIELD_H_
#define EMSERVE_CLIENT_EMCTL_SET_FIELD_H_

#include <string>
#include <string_view>

#include "google/protobuf/message.h"

namespace emserve::emctl {

// Sets the field of `message` at `path`, names with dots between them, from `word`, and makes the
// messages on the way. A repeated field takes a list with commas, an enum its words (words.h), a
// Duration "90s", a message nothing: it is made and left as it is. Returns what the word must be if
// it is not, else "". The path must exist.
std::string SetField(google::protobuf::Message& message, std::string_view path,
                     const std::string& word);

// True if `message` has a field at `path`.
bool HasField(const google::protobuf::Descriptor& message, std::string_view path);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_SET_FIELD_H_
