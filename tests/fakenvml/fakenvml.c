/* A libnvidia-ml.so.1 that plays a scenario, so that the unmodified Python binding can be tested without a GPU.
 *
 * The structures are declared here by their layout in memory (checked at the end of this file).
 *
 * FAKE_NVML_SCENARIO names a text file, one directive a line; <gpu> is an index or * for all of them:
 *   gpus,N                                        number of GPUs
 *   driver,VERSION                                driver version
 *   init,CODE                                     what nvmlInit answers
 *   set,<gpu>,KEY,VALUE                           a constant: name, mem_total, mem_reserved, mem_used, util_gpu,
 *                                                 util_mem, power_mw, temp, sm_clock; shares of time: viol_power,
 *                                                 viol_thermal, viol_heat, viol_brake; per second: pcie_tx, pcie_rx
 *                                                 (bytes), nvlink_tx, nvlink_rx (KiB); profiling counters in percent,
 *                                                 there since Hopper: gpm_sm, gpm_occupancy, gpm_tensor, gpm_dram;
 *                                                 ecc (errors so far), processes (how many)
 *   series,<gpu>,KEY,T:V;T:V;...                  the same over time, each value held until the next; also xid: the
 *                                                 error of that number is reported at that time
 *   mig,<gpu>,COUNT,BYTES,FROM                    MIG mode on from then on, with COUNT instances of BYTES; 0: off
 *   fault,<gpu>,<function|*>,CODE,FROM,UNTIL,NTH  a function fails in a time window, every NTH call (empty: always);
 *                                                 CODE is a number, HANG (until the window ends) or SEGV
 *   latency,<function|*>,MICROSECONDS             a function takes that long
 *
 * FAKE_NVML_CLOCK names a file that holds one double, the seconds since the start of the scenario; whoever runs the
 * test writes it. Without it time runs from the first nvmlInit on.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    TIMEOUT = 10,
    ARGUMENT_VERSION_MISMATCH = 25,
};

enum { HANG = -1, SEGV = -2 };

enum { MAX_GPUS = 16, MAX_MIG = 7, MAX_VALUES = 512, MAX_FAULTS = 64, RING_SAMPLES = 100, RING_HERTZ = 6 };

static const double FOREVER = 1e18;
static const uint64_t EPOCH_US = 1600000000000000; /* driver time at the start of the scenario */

typedef struct {
    double time;
    double value;
} Point;

typedef struct {
    int gpu; /* -1: all */
    char key[32];
    char text[96];
    int count; /* of points; 0: a constant */
    Point *points;
} Value;

typedef struct {
    int gpu;
    char function[64];
    int code; /* HANG, SEGV, or what the function answers */
    double from;
    double until;
    int every;
    int calls;
} Fault;

typedef struct {
    int gpu;
    int mig; /* -1: the whole GPU */
} Device;

static Device gpus[MAX_GPUS];
static Device migs[MAX_GPUS][MAX_MIG];
static int gpu_count;

typedef struct {
    int gpu, count;
    uint64_t bytes;
    double from;
} Division;

static Division divisions[MAX_FAULTS];
static int division_count;
static Value values[MAX_VALUES];
static Fault faults[MAX_FAULTS];
static Fault latencies[MAX_FAULTS]; /* code: microseconds */
static int value_count, fault_count, latency_count, init_code, references;
static char driver[80];
static double started;
static volatile double *virtual_clock;

/* ---- time and values ------------------------------------------------------------------------------------------- */

static double monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double now(void) { return virtual_clock ? *virtual_clock : monotonic() - started; }

static uint64_t driver_time_us(double seconds) { return EPOCH_US + (uint64_t)(seconds * 1e6); }

/* How a GPU is divided now: the last line whose time has come. */
static Division division(int gpu) {
    Division found = {gpu, 0, 0, 0};
    for (int i = 0; i < division_count; i++)
        if (divisions[i].gpu == gpu && now() >= divisions[i].from) found = divisions[i];
    return found;
}

static int mig_count(int gpu) { return division(gpu).count; }

static Value *find(int gpu, const char *key) {
    Value *general = NULL;
    for (int i = value_count - 1; i >= 0; i--) {
        if (strcmp(values[i].key, key)) continue;
        if (values[i].gpu == gpu) return &values[i];
        if (values[i].gpu == -1 && !general) general = &values[i];
    }
    return general;
}

static double value_at(int gpu, const char *key, double otherwise, double time) {
    Value *value = find(gpu, key);
    if (!value) return otherwise;
    if (!value->count) return atof(value->text);
    int low = 0, high = value->count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (value->points[middle].time <= time)
            low = middle;
        else
            high = middle - 1;
    }
    return value->points[low].value;
}

static double value_now(int gpu, const char *key, double otherwise) { return value_at(gpu, key, otherwise, now()); }

/* Area under the value from the start of the scenario until then. */
static double area(int gpu, const char *key, double otherwise, double end) {
    Value *value = find(gpu, key);
    if (!value || !value->count) return end * (value ? atof(value->text) : otherwise);
    double sum = 0;
    for (int i = 0; i < value->count && value->points[i].time < end; i++) {
        double until = i + 1 < value->count && value->points[i + 1].time < end ? value->points[i + 1].time : end;
        sum += value->points[i].value * (until - value->points[i].time);
    }
    return sum;
}

static double integral(int gpu, const char *key, double otherwise) { return area(gpu, key, otherwise, now()); }

static double integral_until(int gpu, const char *key, double end) { return area(gpu, key, 0, end); }

/* ---- the scenario ---------------------------------------------------------------------------------------------- */

static char *next(char **line) {
    char *cell = strsep(line, ",");
    return cell ? cell : "";
}

static int gpu_of(const char *cell) { return *cell == '*' ? -1 : atoi(cell); }

static void read_value(char **line, int is_series) {
    Value *value = &values[value_count++];
    memset(value, 0, sizeof *value);
    value->gpu = gpu_of(next(line));
    snprintf(value->key, sizeof value->key, "%s", next(line));
    char *cell = next(line);
    if (!is_series) {
        snprintf(value->text, sizeof value->text, "%s", cell);
        return;
    }
    int room = 1;
    for (char *c = cell; *c; c++) room += *c == ';';
    value->points = calloc(room, sizeof(Point));
    for (char *point; (point = strsep(&cell, ";"));) {
        char *colon = strchr(point, ':');
        if (colon) value->points[value->count++] = (Point){atof(point), atof(colon + 1)};
    }
}

static void read_fault(char **line) {
    Fault *fault = &faults[fault_count++];
    memset(fault, 0, sizeof *fault);
    fault->gpu = gpu_of(next(line));
    snprintf(fault->function, sizeof fault->function, "%s", next(line));
    char *code = next(line);
    fault->code = !strcmp(code, "HANG") ? HANG : !strcmp(code, "SEGV") ? SEGV : atoi(code);
    fault->from = atof(next(line));
    char *until = next(line);
    fault->until = *until ? atof(until) : FOREVER;
    char *every = next(line);
    fault->every = *every ? atoi(every) : 1;
}

static void read_directive(char *line) {
    char *name = next(&line);
    if (!strcmp(name, "gpus")) gpu_count = atoi(next(&line));
    if (!strcmp(name, "driver")) snprintf(driver, sizeof driver, "%s", next(&line));
    if (!strcmp(name, "init")) init_code = atoi(next(&line));
    if (!strcmp(name, "set")) read_value(&line, 0);
    if (!strcmp(name, "series")) read_value(&line, 1);
    if (!strcmp(name, "fault")) read_fault(&line);
    if (!strcmp(name, "mig")) {
        Division *found = &divisions[division_count++];
        found->gpu = atoi(next(&line));
        found->count = atoi(next(&line));
        found->bytes = strtoull(next(&line), NULL, 10);
        found->from = atof(next(&line));
    }
    if (!strcmp(name, "latency")) {
        snprintf(latencies[latency_count].function, sizeof latencies[0].function, "%s", next(&line));
        latencies[latency_count++].code = atoi(next(&line));
    }
}

static void read_scenario(void) {
    const char *clock_path = getenv("FAKE_NVML_CLOCK");
    int clock_file = clock_path ? open(clock_path, O_RDONLY) : -1;
    if (clock_file >= 0) {
        void *mapped = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, clock_file, 0);
        virtual_clock = mapped == MAP_FAILED ? NULL : mapped;
        close(clock_file);
    }
    if (!started) started = monotonic();
    gpu_count = 1;
    value_count = fault_count = latency_count = division_count = 0;
    snprintf(driver, sizeof driver, "570.133.20");
    const char *path = getenv("FAKE_NVML_SCENARIO");
    FILE *stream = path ? fopen(path, "r") : NULL;
    char *line = NULL;
    size_t capacity = 0;
    while (stream && getline(&line, &capacity, stream) > 0) {
        line[strcspn(line, "\r\n")] = 0;
        read_directive(line);
    }
    if (stream) fclose(stream);
    free(line);
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) {
        gpus[gpu] = (Device){gpu, -1};
        for (int mig = 0; mig < MAX_MIG; mig++) migs[gpu][mig] = (Device){gpu, mig};
    }
}

static int fail(const Fault *fault) {
    if (fault->code == SEGV) raise(SIGSEGV);
    if (fault->code != HANG) return fault->code;
    while (now() >= fault->from && now() < fault->until) usleep(10000);
    return SUCCESS;
}

/* What every function does first: take its time, and fail when the scenario says so. */
static int enter(const char *function, const Device *device) {
    for (int i = 0; i < latency_count; i++)
        if (latencies[i].function[0] == '*' || !strcmp(latencies[i].function, function)) {
            usleep(latencies[i].code);
            break;
        }
    if (!references && strcmp(function, "nvmlInitWithFlags")) return UNINITIALIZED;
    if (device && device->mig >= mig_count(device->gpu) && device->mig >= 0) return INVALID_ARGUMENT;
    for (int i = 0; i < fault_count; i++) {
        Fault *fault = &faults[i];
        int concerns_device = fault->gpu == -1 || (device && device->gpu == fault->gpu);
        int concerns_function = fault->function[0] == '*' || !strcmp(fault->function, function);
        if (!concerns_device || !concerns_function || now() < fault->from || now() >= fault->until) continue;
        if (++fault->calls % fault->every == 0) return fail(fault);
    }
    return SUCCESS;
}

#define ENTER(device)                          \
    do {                                       \
        int code = enter(__func__, (device));  \
        if (code) return code;                 \
    } while (0)

/* ---- the library ----------------------------------------------------------------------------------------------- */

EXPORT int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (!references) read_scenario();
    int code = enter(__func__, NULL);
    if (code) return code;
    if (!init_code) references++;
    return init_code;
}

EXPORT int nvmlShutdown(void) {
    if (!references) return UNINITIALIZED;
    references--;
    return SUCCESS;
}

static int copy(char *buffer, unsigned size, const char *text) {
    return snprintf(buffer, size, "%s", text) < (int)size ? SUCCESS : INSUFFICIENT_SIZE;
}

EXPORT int nvmlSystemGetDriverVersion(char *buffer, unsigned size) {
    ENTER(NULL);
    return copy(buffer, size, driver);
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
    ENTER(NULL);
    *count = gpu_count;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    if (index >= (unsigned)gpu_count) return INVALID_ARGUMENT;
    ENTER(&gpus[index]);
    *device = &gpus[index];
    return SUCCESS;
}

static void write_uuid(const Device *device, char *uuid) {
    if (device->mig < 0)
        sprintf(uuid, "GPU-fa4e0000-0000-4000-8000-%012d", device->gpu);
    else
        sprintf(uuid, "MIG-fa4e0000-0000-4000-8%03d-%012d", device->mig, device->gpu);
}

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    char candidate[80];
    for (int gpu = 0; gpu < gpu_count; gpu++)
        for (int mig = -1; mig < mig_count(gpu); mig++) {
            Device *found = mig < 0 ? &gpus[gpu] : &migs[gpu][mig];
            write_uuid(found, candidate);
            if (strcmp(candidate, uuid)) continue;
            ENTER(found);
            *device = found;
            return SUCCESS;
        }
    return NOT_FOUND;
}

EXPORT int nvmlDeviceGetUUID(Device *device, char *buffer, unsigned size) {
    ENTER(device);
    char uuid[80];
    write_uuid(device, uuid);
    return copy(buffer, size, uuid);
}

EXPORT int nvmlDeviceGetName(Device *device, char *buffer, unsigned size) {
    ENTER(device);
    Value *name = find(device->gpu, "name");
    char text[128];
    snprintf(text, sizeof text, "%s%s", name ? name->text : "NVIDIA Fake GPU", device->mig < 0 ? "" : " MIG");
    return copy(buffer, size, text);
}

EXPORT int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    ENTER(device);
    *current = *pending = mig_count(device->gpu) > 0;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) {
    ENTER(device);
    *count = MAX_MIG;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **mig) {
    ENTER(device);
    if (index >= (unsigned)mig_count(device->gpu)) return NOT_FOUND;
    *mig = &migs[device->gpu][index];
    return SUCCESS;
}

typedef struct {
    unsigned long long total, free, used;
} Memory;

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} MemoryV2;

static MemoryV2 memory_of(const Device *device) {
    MemoryV2 memory = {0};
    int shares = device->mig < 0 || !mig_count(device->gpu) ? 1 : mig_count(device->gpu);
    memory.total = device->mig < 0 ? (uint64_t)value_now(device->gpu, "mem_total", 0) : division(device->gpu).bytes;
    memory.reserved = (uint64_t)value_now(device->gpu, "mem_reserved", 0) / shares;
    memory.used = (uint64_t)value_now(device->gpu, "mem_used", 0) / shares;
    memory.free = memory.total - memory.reserved - memory.used;
    return memory;
}

EXPORT int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    ENTER(device);
    MemoryV2 whole = memory_of(device);
    *memory = (Memory){whole.total, whole.free, whole.used + whole.reserved};
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(Device *device, MemoryV2 *memory) {
    ENTER(device);
    if (memory->version != (sizeof(MemoryV2) | (2u << 24))) return ARGUMENT_VERSION_MISMATCH;
    unsigned version = memory->version;
    *memory = memory_of(device);
    memory->version = version;
    return SUCCESS;
}

typedef struct {
    unsigned gpu, memory;
} Utilization;

EXPORT int nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    ENTER(device);
    if (mig_count(device->gpu)) return NOT_SUPPORTED;
    rates->gpu = (unsigned)value_now(device->gpu, "util_gpu", 0);
    rates->memory = (unsigned)value_now(device->gpu, "util_mem", 0);
    return SUCCESS;
}

typedef union {
    double as_double;
    unsigned as_unsigned;
    unsigned long long as_long;
} Number;

typedef struct {
    unsigned long long time_us;
    Number value;
} Sample;

/* The driver keeps the last RING_SAMPLES readings, RING_HERTZ a second. */
EXPORT int nvmlDeviceGetSamples(Device *device, int kind, unsigned long long last_us, int *type, unsigned *count,
                                Sample *samples) {
    ENTER(device);
    const char *key = kind == 1 ? "util_gpu" : kind == 2 ? "util_mem" : NULL;
    if (!key || mig_count(device->gpu)) return NOT_SUPPORTED;
    *type = 1;
    if (!samples) {
        *count = RING_SAMPLES;
        return SUCCESS;
    }
    long newest = (long)(now() * RING_HERTZ);
    unsigned written = 0;
    for (long i = newest < RING_SAMPLES ? 0 : newest - RING_SAMPLES + 1; i <= newest && written < *count; i++) {
        double time = (double)i / RING_HERTZ;
        if (driver_time_us(time) <= last_us) continue;
        samples[written].time_us = driver_time_us(time);
        samples[written].value.as_long = 0;
        samples[written++].value.as_unsigned = (unsigned)value_at(device->gpu, key, 0, time);
    }
    *count = written;
    return written ? SUCCESS : NOT_FOUND;
}

EXPORT int nvmlDeviceGetPowerUsage(Device *device, unsigned *milliwatts) {
    ENTER(device);
    if (device->mig >= 0) return NOT_SUPPORTED;
    *milliwatts = (unsigned)value_now(device->gpu, "power_mw", 100000);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetTotalEnergyConsumption(Device *device, unsigned long long *millijoules) {
    ENTER(device);
    if (device->mig >= 0) return NOT_SUPPORTED;
    *millijoules = (unsigned long long)integral(device->gpu, "power_mw", 100000);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *celsius) {
    (void)sensor;
    ENTER(device);
    *celsius = (unsigned)value_now(device->gpu, "temp", 45);
    return SUCCESS;
}

typedef struct {
    unsigned version;
    int sensor;
    int celsius;
} Temperature;

EXPORT int nvmlDeviceGetTemperatureV(Device *device, Temperature *temperature) {
    ENTER(device);
    temperature->celsius = (int)value_now(device->gpu, "temp", 45);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetClockInfo(Device *device, int kind, unsigned *megahertz) {
    (void)kind;
    ENTER(device);
    *megahertz = (unsigned)value_now(device->gpu, "sm_clock", 1410);
    return SUCCESS;
}

/* Blocks for 20 ms in a real driver, which is why no agent may call it: here it ends the program. */
EXPORT int nvmlDeviceGetPcieThroughput(Device *device, int counter, unsigned *kilobytes) {
    (void)device, (void)counter, (void)kilobytes;
    abort();
}

typedef struct {
    unsigned id, scope;
    long long time_us, latency_us;
    int type;
    int code;
    Number value;
} Field;

static unsigned long long seconds_to_ns(const Device *device, const char *key) {
    return (unsigned long long)(1e9 * integral(device->gpu, key, 0));
}

static void read_field(const Device *device, Field *field) {
    enum { POWER_POLICY = 74, THERMAL_POLICY = 75, ENERGY = 83, NVLINK_TX = 138, NVLINK_RX = 139, POWER_INSTANT = 186 };
    enum { PCIE_TX = 197, PCIE_RX = 198, SOFTWARE_HEAT = 269, HARDWARE_HEAT = 270, POWER_BRAKE = 271 };
    field->time_us = (long long)driver_time_us(now());
    field->latency_us = 3;
    field->code = device->mig < 0 ? SUCCESS : NOT_SUPPORTED;
    field->type = 3;
    field->value.as_long = 0;
    switch (field->id) {
        case POWER_POLICY:
            field->value.as_long = seconds_to_ns(device, "viol_power");
            break;
        case THERMAL_POLICY:
        case SOFTWARE_HEAT:
            field->value.as_long = seconds_to_ns(device, "viol_thermal");
            break;
        case HARDWARE_HEAT:
            field->value.as_long = seconds_to_ns(device, "viol_heat");
            break;
        case POWER_BRAKE:
            field->value.as_long = seconds_to_ns(device, "viol_brake");
            break;
        case PCIE_TX:
            field->value.as_long = (unsigned long long)integral(device->gpu, "pcie_tx", 0);
            break;
        case PCIE_RX:
            field->value.as_long = (unsigned long long)integral(device->gpu, "pcie_rx", 0);
            break;
        case NVLINK_TX:
        case NVLINK_RX: /* over all links, which is what the scope says */
            field->code = field->scope == ~0u ? field->code : INVALID_ARGUMENT;
            field->value.as_long =
                (unsigned long long)integral(device->gpu, field->id == NVLINK_TX ? "nvlink_tx" : "nvlink_rx", 0);
            break;
        case ENERGY:
            field->value.as_long = (unsigned long long)integral(device->gpu, "power_mw", 100000);
            break;
        case POWER_INSTANT:
            field->type = 1;
            field->value.as_unsigned = (unsigned)value_now(device->gpu, "power_mw", 100000);
            break;
        default:
            field->code = NOT_SUPPORTED;
    }
    /* One field can be unsupported while the call as a whole succeeds: scenario key field_<id>_code. */
    char key[32];
    snprintf(key, sizeof key, "field_%u_code", field->id);
    if (field->code == SUCCESS) field->code = (int)value_now(device->gpu, key, SUCCESS);
}

EXPORT int nvmlDeviceGetFieldValues(Device *device, int count, Field *fields) {
    ENTER(device);
    for (int i = 0; i < count; i++) read_field(device, &fields[i]);
    return SUCCESS;
}

/* ---- processes, memory errors ---------------------------------------------------------------------------------- */

typedef struct {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
} Process;

static int list_processes(const Device *device, unsigned *count, Process *processes) {
    unsigned there = (unsigned)value_now(device->gpu, "processes", 0), room = *count;
    *count = there;
    if (there > room || (there && !processes)) return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < there; i++) processes[i] = (Process){1000 + i, 1 << 30, ~0u, ~0u};
    return SUCCESS;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *processes) {
    ENTER(device);
    return list_processes(device, count, processes);
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v2(Device *device, unsigned *count, Process *processes) {
    ENTER(device);
    return list_processes(device, count, processes);
}

EXPORT int nvmlDeviceGetTotalEccErrors(Device *device, int kind, int counter, unsigned long long *errors) {
    (void)counter;
    ENTER(device);
    *errors = kind ? (unsigned long long)value_now(device->gpu, "ecc", 0) : 0;
    return SUCCESS;
}

/* ---- profiling counters ---------------------------------------------------------------------------------------- */

typedef struct {
    const Device *device;
    double time;
} ProfilingSample;

typedef struct {
    unsigned id;
    int code;
    double value;
    char *names[3];
} ProfilingMetric;

typedef struct {
    unsigned version, count;
    ProfilingSample *before, *after;
    ProfilingMetric metrics[];
} ProfilingQuestion;

typedef struct {
    unsigned version, is_supported;
} ProfilingSupport;

static int has_profiling(const Device *device) { return find(device->gpu, "gpm_sm") != NULL; }

EXPORT int nvmlGpmQueryDeviceSupport(Device *device, ProfilingSupport *support) {
    ENTER(device);
    if (support->version != 1) return ARGUMENT_VERSION_MISMATCH;
    support->is_supported = has_profiling(device);
    return SUCCESS;
}

EXPORT int nvmlGpmSampleAlloc(ProfilingSample **sample) {
    ENTER(NULL);
    *sample = calloc(1, sizeof **sample);
    return SUCCESS;
}

EXPORT int nvmlGpmSampleFree(ProfilingSample *sample) {
    free(sample);
    return SUCCESS;
}

EXPORT int nvmlGpmSampleGet(Device *device, ProfilingSample *sample) {
    ENTER(device);
    if (!has_profiling(device)) return NOT_SUPPORTED;
    *sample = (ProfilingSample){device, now()};
    return SUCCESS;
}

EXPORT int nvmlDeviceGetGpuInstanceId(Device *device, unsigned *instance) {
    ENTER(device);
    if (device->mig < 0) return NOT_SUPPORTED;
    *instance = (unsigned)device->mig + 7;
    return SUCCESS;
}

EXPORT int nvmlGpmMigSampleGet(Device *device, unsigned instance, ProfilingSample *sample) {
    ENTER(device);
    if (instance < 7 || (int)instance - 7 >= mig_count(device->gpu)) return NOT_FOUND;
    *sample = (ProfilingSample){device, now()};
    return SUCCESS;
}

static const char *profiling_key(unsigned id) {
    return id == 2 ? "gpm_sm" : id == 3 ? "gpm_occupancy" : id == 5 ? "gpm_tensor" : id == 10 ? "gpm_dram" : NULL;
}

/* Means between two samples. */
EXPORT int nvmlGpmMetricsGet(ProfilingQuestion *question) {
    const ProfilingSample *before = question->before, *after = question->after;
    if (question->version != 1) return ARGUMENT_VERSION_MISMATCH;
    ENTER(after->device);
    if (before->device != after->device || after->time <= before->time) return INVALID_ARGUMENT;
    for (unsigned i = 0; i < question->count; i++) {
        ProfilingMetric *metric = &question->metrics[i];
        const char *key = profiling_key(metric->id);
        metric->code = key && find(after->device->gpu, key) ? SUCCESS : NOT_SUPPORTED;
        if (metric->code) continue;
        double until = integral_until(after->device->gpu, key, after->time);
        metric->value = (until - integral_until(after->device->gpu, key, before->time)) / (after->time - before->time);
    }
    return SUCCESS;
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

typedef struct {
    int is_watched[MAX_GPUS];
    double since[MAX_GPUS];
} EventSet;

typedef struct {
    Device *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
} Event;

enum { XID_ERROR = 8 };

EXPORT int nvmlEventSetCreate(EventSet **events) {
    ENTER(NULL);
    *events = calloc(1, sizeof **events);
    return SUCCESS;
}

EXPORT int nvmlEventSetFree(EventSet *events) {
    free(events);
    return SUCCESS;
}

EXPORT int nvmlDeviceRegisterEvents(Device *device, unsigned long long types, EventSet *events) {
    ENTER(device);
    if (!(types & XID_ERROR)) return NOT_SUPPORTED;
    events->is_watched[device->gpu] = 1;
    events->since[device->gpu] = now();
    return SUCCESS;
}

EXPORT int nvmlEventSetWait_v2(EventSet *events, Event *event, unsigned milliseconds) {
    ENTER(NULL);
    for (int gpu = 0; gpu < gpu_count; gpu++) {
        Value *errors = events->is_watched[gpu] ? find(gpu, "xid") : NULL;
        for (int i = 0; errors && i < errors->count; i++) {
            Point point = errors->points[i];
            if (point.time <= events->since[gpu] || point.time > now()) continue;
            events->since[gpu] = point.time;
            *event = (Event){&gpus[gpu], XID_ERROR, (unsigned long long)point.value, ~0u, ~0u};
            return SUCCESS;
        }
    }
    if (milliseconds) abort(); /* an agent that waits here is late for its tick */
    return TIMEOUT;
}

_Static_assert(sizeof(Process) == 24 && sizeof(Event) == 32, "process and event layout");
_Static_assert(sizeof(ProfilingMetric) == 40 && sizeof(ProfilingSupport) == 8, "profiling layout");
_Static_assert(offsetof(ProfilingQuestion, metrics) == 24, "profiling question layout");
_Static_assert(sizeof(MemoryV2) == 40 && sizeof(Memory) == 24, "memory layout");
_Static_assert(sizeof(Sample) == 16 && sizeof(Field) == 40, "sample and field layout");
_Static_assert(sizeof(Utilization) == 8 && sizeof(Temperature) == 12, "utilisation and temperature layout");
