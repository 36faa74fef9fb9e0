// Driver of a fake NVIDIA GPU: enough of libcuda and libnvidia-ml for TensorFlow to list one device with its name and
// compute capability, but not to compute on it. `tests/fakes/gpu.py` builds it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const char *name, int otherwise) {
  const char *value = getenv(name);
  return value ? atoi(value) : otherwise;
}

int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = number("FAKE_GPUS", 1); return 0; }
int cuDriverGetVersion(int *version) { *version = 12090; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "Fake GPU"); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)16 << 30; return 0; }
int cuDeviceGetPCIBusId(char *id, int length, int device) { snprintf(id, length, "0000:00:0%d.0", device); return 0; }
int cuDeviceComputeCapability(int *major, int *minor, int device) { *major = number("FAKE_MAJOR", 8); *minor = 0; return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) { *available = *total = (size_t)16 << 30; return 0; }
int cuDeviceGetUuid(char *uuid, int device) { memset(uuid, 1 + device, 16); return 0; }
int cuDeviceGetUuid_v2(char *uuid, int device) { memset(uuid, 1 + device, 16); return 0; }
int cuGetErrorName(int error, const char **name) { *name = "FAKE"; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "fake"; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case 75: return cuDeviceComputeCapability(value, &(int){0}, device);
    case 76: *value = 0; break;   // the minor number
    case 16: *value = 64; break;  // multiprocessors: TensorFlow ignores GPUs with fewer than 8
    case 10: *value = 32; break;  // threads in a warp
    default: *value = 1024;
  }
  return 0;
}

int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(void) { return 0; }
int nvmlDeviceGetCurrPcieLinkGeneration(void) { return 0; }
int nvmlDeviceGetCurrPcieLinkWidth(void) { return 0; }
int nvmlDeviceGetNvLinkState(void) { return 0; }
int nvmlDeviceGetGpuFabricInfoV(void) { return 0; }
