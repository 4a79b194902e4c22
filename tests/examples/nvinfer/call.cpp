// Calls the parser with plain C types, for ctypes.
#include "nvdsinfer_custom_impl.h"

extern "C" bool NvDsInferParseEdgebound(std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &,
                                        NvDsInferParseDetectionParams const &,
                                        std::vector<NvDsInferObjectDetectionInfo> &);

// Gives how many objects there are, or -1: each is left, top, right, bottom, score, class.
extern "C" int call(float *values, unsigned rows, unsigned anchors, unsigned classes, unsigned side, float conf,
                    float *objects) {
    NvDsInferLayerInfo layer{};
    layer.dataType = FLOAT;
    layer.inferDims = {2, {rows, anchors}, rows * anchors};
    layer.buffer = values;
    NvDsInferParseDetectionParams params{classes, std::vector<float>(classes, conf), {}};
    std::vector<NvDsInferObjectDetectionInfo> found;
    if (!NvDsInferParseEdgebound({layer}, {side, side, 3}, params, found)) return -1;
    for (auto const &one : found) {
        const float row[] = {one.left, one.top, one.left + one.width, one.top + one.height, one.detectionConfidence,
                             static_cast<float>(one.classId)};
        for (float value : row) *objects++ = value;
    }
    return static_cast<int>(found.size());
}
