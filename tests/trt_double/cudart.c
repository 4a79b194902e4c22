/* A stand-in for libcudart: the host's memory is the device's, and a stream is a list of what is to be done.
 *
 * Nothing that is queued happens before somebody waits for it, so that a result which is read too early is wrong here
 * as it is on a GPU. What the device is comes from the environment: CUDA_DOUBLE_SM (8.7), CUDA_DOUBLE_NAME (Orin),
 * CUDA_DOUBLE_VERSION (12.6), CUDA_DOUBLE_MEMORY_MIB (8192), CUDA_DOUBLE_DEVICES (1).
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_HANDLE = 400, NOT_READY = 600,
       CAPTURING = 900, INVALIDATED = 901 };
enum { DEVICE, PINNED, STREAM, EVENT, GRAPH, KINDS };
enum { COPY, CALL, RECORD, LAUNCH };

typedef void (*Function)(void *);
typedef struct Work Work;
typedef struct { Work *first, *last; } List;
typedef struct { int64_t at_ns; int pending; } Event;
typedef struct { List work; int capturing, broken; List captured; pthread_mutex_t lock; } Stream;
typedef struct { List work; } Graph;
struct Work {
    int what;
    void *to;
    const void *from;
    size_t size;
    Function function;
    Graph *graph;
    Event *event;
    Work *next;
};
typedef struct Held { void *address; size_t size; int kind; struct Held *next; } Held;

static Held *held;
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static int devices(void) { return atoi(setting("CUDA_DOUBLE_DEVICES", "1")); }

static size_t memory(void) { return (size_t)atol(setting("CUDA_DOUBLE_MEMORY_MIB", "8192")) << 20; }

/* --- what is held ---------------------------------------------------------------------------------------------- */
static void hold(void *address, size_t size, int kind) {
    Held *one = malloc(sizeof *one);
    *one = (Held){address, size, kind, NULL};
    pthread_mutex_lock(&table);
    one->next = held;
    held = one;
    pthread_mutex_unlock(&table);
}

static int let_go(void *address, int kind) {
    int found = 0;
    pthread_mutex_lock(&table);
    for (Held **one = &held; *one; one = &(*one)->next) {
        if ((*one)->address == address && (*one)->kind == kind) {
            Held *gone = *one;
            *one = gone->next;
            free(gone);
            found = 1;
            break;
        }
    }
    pthread_mutex_unlock(&table);
    return found;
}

static int holds(const void *address, size_t size, int kind) {
    int found = 0;
    pthread_mutex_lock(&table);
    for (Held *one = held; one && !found; one = one->next) {
        const char *begin = one->address;
        found = one->kind == kind && begin <= (const char *)address
            && (const char *)address + size <= begin + one->size;
    }
    pthread_mutex_unlock(&table);
    return found;
}

static size_t taken(void) {
    size_t sum = 0;
    pthread_mutex_lock(&table);
    for (Held *one = held; one; one = one->next) sum += one->kind == DEVICE ? one->size : 0;
    pthread_mutex_unlock(&table);
    return sum;
}

/* How many of a kind are not freed: 0 device memory, 1 pinned memory, 2 streams, 3 events, 4 graphs. */
int cuda_double_live(int kind) {
    int count = 0;
    pthread_mutex_lock(&table);
    for (Held *one = held; one; one = one->next) count += one->kind == kind;
    pthread_mutex_unlock(&table);
    return count;
}

/* Whether that range is allocated on the device. */
int cuda_double_is_on_device(void *address, size_t size) { return holds(address, size, DEVICE); }

/* --- streams --------------------------------------------------------------------------------------------------- */
static void append(List *list, Work work) {
    Work *one = malloc(sizeof *one);
    *one = work;
    one->next = NULL;
    if (list->last) list->last->next = one; else list->first = one;
    list->last = one;
}

static void clear(List *list) {
    for (Work *one = list->first, *next; one; one = next) {
        next = one->next;
        free(one);
    }
    list->first = list->last = NULL;
}

static void perform(const List *list) {
    for (const Work *one = list->first; one; one = one->next) {
        struct timespec now;
        switch (one->what) {
        case COPY: memcpy(one->to, one->from, one->size); break;
        case CALL: one->function(one->to); break;
        case LAUNCH: perform(&one->graph->work); break;
        case RECORD:
            clock_gettime(CLOCK_MONOTONIC, &now);
            one->event->at_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
            one->event->pending = 0;
        }
    }
}

static void drain(Stream *stream) {
    pthread_mutex_lock(&stream->lock);
    List now = stream->work;
    stream->work = (List){NULL, NULL};
    perform(&now);
    clear(&now);
    pthread_mutex_unlock(&stream->lock);
}

static int queue(Stream *stream, Work work) {
    if (!holds(stream, sizeof *stream, STREAM)) return INVALID_HANDLE;
    pthread_mutex_lock(&stream->lock);
    append(stream->capturing ? &stream->captured : &stream->work, work);
    pthread_mutex_unlock(&stream->lock);
    return 0;
}

/* Freeing and allocating wait for the whole device, and are forbidden while anything is captured. */
static int settle(void) {
    Stream *streams[64];
    int count = 0;
    pthread_mutex_lock(&table);
    for (Held *one = held; one && count < 64; one = one->next)
        if (one->kind == STREAM) streams[count++] = one->address;
    pthread_mutex_unlock(&table);
    for (int i = 0; i < count; i++) {
        if (streams[i]->capturing) {
            streams[i]->broken = 1;
            return CAPTURING;
        }
    }
    for (int i = 0; i < count; i++) drain(streams[i]);
    return 0;
}

int cudaStreamCreateWithFlags(Stream **stream, unsigned flags) {
    if (!devices()) return NO_DEVICE;
    if (flags > 1) return INVALID_VALUE;
    *stream = calloc(1, sizeof **stream);
    pthread_mutex_init(&(*stream)->lock, NULL);
    hold(*stream, sizeof **stream, STREAM);
    return 0;
}

int cudaStreamDestroy(Stream *stream) {
    if (!holds(stream, sizeof *stream, STREAM)) return INVALID_HANDLE;
    drain(stream);
    clear(&stream->captured);
    let_go(stream, STREAM);
    free(stream);
    return 0;
}

int cudaStreamSynchronize(Stream *stream) {
    if (!holds(stream, sizeof *stream, STREAM)) return INVALID_HANDLE;
    if (stream->capturing) {
        stream->broken = 1;
        return CAPTURING;
    }
    drain(stream);
    return 0;
}

int cudaStreamIsCapturing(Stream *stream, int *status) {
    if (!holds(stream, sizeof *stream, STREAM)) return INVALID_HANDLE;
    *status = stream->broken ? 2 : stream->capturing;
    return 0;
}

/* --- memory ---------------------------------------------------------------------------------------------------- */
int cudaMalloc(void **address, size_t size) {
    int error = settle();
    if (!devices()) return NO_DEVICE;
    if (error) return error;
    if (taken() + size > memory() || !(*address = malloc(size ? size : 1))) return OUT_OF_MEMORY;
    memset(*address, 0xA5, size); /* nobody may count on zeros */
    hold(*address, size, DEVICE);
    return 0;
}

int cudaFree(void *address) {
    int error = settle();
    if (error || !address) return error;
    if (!let_go(address, DEVICE)) return INVALID_VALUE;
    free(address);
    return 0;
}

int cudaHostAlloc(void **address, size_t size, unsigned flags) {
    int error = settle();
    if (!devices()) return NO_DEVICE;
    if (error || flags > 7) return error ? error : INVALID_VALUE;
    if (!(*address = malloc(size ? size : 1))) return OUT_OF_MEMORY;
    hold(*address, size, PINNED);
    return 0;
}

int cudaFreeHost(void *address) {
    int error = settle();
    if (error || !address) return error;
    if (!let_go(address, PINNED)) return INVALID_VALUE;
    free(address);
    return 0;
}

int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, Stream *stream) {
    if (kind != 1 && kind != 2) return 21; /* cudaErrorInvalidMemcpyDirection */
    if (!holds(kind == 1 ? to : from, size, DEVICE)) return INVALID_VALUE;
    return queue(stream, (Work){.what = COPY, .to = to, .from = from, .size = size});
}

int cudaMemGetInfo(size_t *unused, size_t *total) {
    if (!devices()) return NO_DEVICE;
    *total = memory();
    *unused = memory() - taken();
    return 0;
}

int cudaLaunchHostFunc(Stream *stream, Function function, void *data) {
    return queue(stream, (Work){.what = CALL, .to = data, .function = function});
}

/* --- events ---------------------------------------------------------------------------------------------------- */
int cudaEventCreateWithFlags(Event **event, unsigned flags) {
    if (!devices()) return NO_DEVICE;
    if (flags > 7) return INVALID_VALUE;
    *event = calloc(1, sizeof **event);
    hold(*event, sizeof **event, EVENT);
    return 0;
}

int cudaEventDestroy(Event *event) {
    if (!let_go(event, EVENT)) return INVALID_HANDLE;
    free(event);
    return 0;
}

int cudaEventRecord(Event *event, Stream *stream) {
    if (!holds(event, sizeof *event, EVENT)) return INVALID_HANDLE;
    event->pending = 1;
    return queue(stream, (Work){.what = RECORD, .event = event});
}

int cudaEventElapsedTime(float *milliseconds, Event *begin, Event *end) {
    if (!holds(begin, sizeof *begin, EVENT) || !holds(end, sizeof *end, EVENT)) return INVALID_HANDLE;
    if (begin->pending || end->pending) return NOT_READY;
    if (!begin->at_ns || !end->at_ns) return INVALID_HANDLE;
    *milliseconds = (float)(end->at_ns - begin->at_ns) / 1e6f;
    return 0;
}

/* --- graphs ---------------------------------------------------------------------------------------------------- */
int cudaStreamBeginCapture(Stream *stream, int mode) {
    if (!holds(stream, sizeof *stream, STREAM)) return INVALID_HANDLE;
    if (mode < 0 || mode > 2 || stream->capturing) return INVALID_VALUE;
    stream->capturing = 1;
    stream->broken = 0;
    return 0;
}

int cudaStreamEndCapture(Stream *stream, Graph **graph) {
    if (!holds(stream, sizeof *stream, STREAM)) return INVALID_HANDLE;
    if (!stream->capturing) return INVALID_VALUE;
    stream->capturing = 0;
    if (stream->broken) {
        clear(&stream->captured);
        stream->broken = 0;
        *graph = NULL;
        return INVALIDATED;
    }
    *graph = calloc(1, sizeof **graph);
    (*graph)->work = stream->captured;
    stream->captured = (List){NULL, NULL};
    hold(*graph, sizeof **graph, GRAPH);
    return 0;
}

int cudaGraphInstantiateWithFlags(Graph **ready, Graph *graph, unsigned long long flags) {
    if (!holds(graph, sizeof *graph, GRAPH) || flags > 15) return INVALID_VALUE;
    *ready = calloc(1, sizeof **ready);
    for (Work *one = graph->work.first; one; one = one->next) append(&(*ready)->work, *one);
    hold(*ready, sizeof **ready, GRAPH);
    return 0;
}

int cudaGraphDestroy(Graph *graph) {
    if (!let_go(graph, GRAPH)) return INVALID_VALUE;
    clear(&graph->work);
    free(graph);
    return 0;
}

int cudaGraphExecDestroy(Graph *graph) {
    int error = settle();
    return error ? error : cudaGraphDestroy(graph);
}

int cudaGraphLaunch(Graph *graph, Stream *stream) {
    if (!holds(graph, sizeof *graph, GRAPH)) return INVALID_VALUE;
    return queue(stream, (Work){.what = LAUNCH, .graph = graph});
}

/* --- the device ------------------------------------------------------------------------------------------------ */
int cudaGetDeviceCount(int *count) {
    *count = devices();
    return *count ? 0 : NO_DEVICE;
}

int cudaGetDevice(int *device) {
    *device = 0;
    return devices() ? 0 : NO_DEVICE;
}

int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    int major = 0, minor = 0;
    if (device >= devices()) return 101; /* cudaErrorInvalidDevice */
    sscanf(setting("CUDA_DOUBLE_SM", "8.7"), "%d.%d", &major, &minor);
    switch (attribute) {
    case 18: *value = (major == 7 && minor == 2) || (major == 8 && minor == 7) || major == 11; return 0; /* integrated */
    case 75: *value = major; return 0;
    case 76: *value = minor; return 0;
    default: return INVALID_VALUE;
    }
}

int cudaGetDeviceProperties(char *properties, int device) {
    if (device >= devices()) return 101;
    strncpy(properties, setting("CUDA_DOUBLE_NAME", "Orin"), 256); /* the name comes first in every layout */
    return 0;
}

int cudaRuntimeGetVersion(int *version) {
    int major = 0, minor = 0;
    sscanf(setting("CUDA_DOUBLE_VERSION", "12.6"), "%d.%d", &major, &minor);
    *version = 1000 * major + 10 * minor;
    return 0;
}

const char *cudaGetErrorString(int error) {
    switch (error) {
    case 0: return "no error";
    case INVALID_VALUE: return "invalid argument";
    case OUT_OF_MEMORY: return "out of memory";
    case 21: return "invalid copy direction for memcpy";
    case NO_DEVICE: return "no CUDA-capable device is detected";
    case 101: return "invalid device ordinal";
    case INVALID_HANDLE: return "invalid resource handle";
    case NOT_READY: return "device not ready";
    case CAPTURING: return "operation not permitted when stream is capturing";
    case INVALIDATED: return "operation failed due to a previous error during capture";
    default: return "unrecognized error code";
    }
}

int cudaGetLastError(void) { return 0; }
