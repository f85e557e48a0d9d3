// Functions of TensorFlow's eager context, and the registry of ops, for the addon of tfjs-node: three methods of its binding. The method `executeOp`
// runs an added function by its name. `src/setup/addon.ts` compiles this file together with the sources of tfjs-node, which call `DefineExtensions`.

#include <node_api.h>

#include <exception>
#include <string>

#include "convolution.h"
#include "fused_ops.h"
#include "matmul.h"
#include "tensorflow/c/c_api.h"
#include "tensorflow/c/eager/c_api.h"
#include "tf_auto_status.h"
#include "tfjs_backend.h"

namespace tfnodejs {
namespace {

void Throw(napi_env env, const char *message) { napi_throw_error(env, nullptr, message); }

void ThrowUnlessOk(napi_env env, TF_Status *status) {
  if (TF_GetCode(status) != TF_OK) Throw(env, TF_Message(status));
}

// Null where an exception was thrown.
TFE_Context *ContextOf(napi_env env) {
  void *backend = nullptr;
  if (napi_get_instance_data(env, &backend) == napi_ok && backend != nullptr)
    return static_cast<TFJSBackend *>(backend)->context();
  Throw(env, "tfjs-node has no backend");
  return nullptr;
}

// The only argument of a call. Null where an exception was thrown.
napi_value ArgumentOf(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  if (napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr) == napi_ok && count >= 1) return argument;
  Throw(env, "an argument is missing");
  return nullptr;
}

// addFunction(definition: Uint8Array): void. The definition is a serialized FunctionDef. Its name must be new to the context.
napi_value AddFunction(napi_env env, napi_callback_info info) {
  TFE_Context *context = ContextOf(env);
  napi_value argument = ArgumentOf(env, info);
  if (context == nullptr || argument == nullptr) return nullptr;
  napi_typedarray_type type;
  size_t length = 0;
  void *bytes = nullptr;
  if (napi_get_typedarray_info(env, argument, &type, &length, &bytes, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    Throw(env, "addFunction takes a Uint8Array");
    return nullptr;
  }
  TF_AutoStatus status;
  TFE_ContextAddFunctionDef(context, static_cast<const char *>(bytes), length, status.status);
  ThrowUnlessOk(env, status.status);
  return nullptr;
}

// removeFunction(name: string): void.
napi_value RemoveFunction(napi_env env, napi_callback_info info) {
  TFE_Context *context = ContextOf(env);
  napi_value argument = ArgumentOf(env, info);
  if (context == nullptr || argument == nullptr) return nullptr;
  size_t length = 0;
  if (napi_get_value_string_utf8(env, argument, nullptr, 0, &length) != napi_ok) {
    Throw(env, "removeFunction takes a string");
    return nullptr;
  }
  std::string name(length + 1, '\0');
  napi_get_value_string_utf8(env, argument, &name[0], name.size(), &length);
  TF_AutoStatus status;
  TFE_ContextRemoveFunction(context, name.c_str(), status.status);
  ThrowUnlessOk(env, status.status);
  return nullptr;
}

// getAllOps(): Buffer. TensorFlow's registry of ops, a serialized OpList.
napi_value GetAllOps(napi_env env, napi_callback_info) {
  TF_Buffer *ops = TF_GetAllOpList();
  napi_value copy = nullptr;
  if (napi_create_buffer_copy(env, ops->length, ops->data, nullptr, &copy) != napi_ok)
    Throw(env, "there is no memory for the registry of ops");
  TF_DeleteBuffer(ops);
  return copy;
}

}  // namespace

// Adds the methods to the exports of the addon, and the fused ops to TensorFlow.
void DefineExtensions(napi_env env, napi_value exports) {
  try {
    RegisterFusedOps();
  } catch (const std::exception &error) {
    return Throw(env, error.what());
  }
  napi_value yes = nullptr, multiplies = nullptr, convolves = nullptr;
  napi_get_boolean(env, true, &yes);
  napi_get_boolean(env, CanMultiplyBfloat16(), &multiplies);
  napi_get_boolean(env, CanConvolveFloat32(), &convolves);
  const napi_property_descriptor methods[] = {
      {"addFunction", nullptr, AddFunction, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"removeFunction", nullptr, RemoveFunction, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"getAllOps", nullptr, GetAllOps, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"hasFusedOps", nullptr, nullptr, nullptr, nullptr, yes, napi_default, nullptr},
      {"multipliesBfloat16", nullptr, nullptr, nullptr, nullptr, multiplies, napi_default, nullptr},
      {"convolvesFloat32", nullptr, nullptr, nullptr, nullptr, convolves, napi_default, nullptr},
  };
  if (napi_define_properties(env, exports, 6, methods) != napi_ok)
    Throw(env, "the extensions of the addon could not be defined");
}

}  // namespace tfnodejs
