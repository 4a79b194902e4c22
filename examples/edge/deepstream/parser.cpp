// Reads the raw output of an Edgebound engine for DeepStream's nvinfer: (4 + classes, anchors), boxes as xywh in pixels
// of the input, scores after sigmoid. NMS is nvinfer's (cluster-mode=2).
//
// Built and run in the tests against a stand-in of nvinfer's header; not yet under DeepStream.

#include <algorithm>
#include <vector>

#include "nvdsinfer_custom_impl.h"

extern "C" bool NvDsInferParseEdgebound(std::vector<NvDsInferLayerInfo> const &outputs,
                                        NvDsInferNetworkInfo const &network,
                                        NvDsInferParseDetectionParams const &params,
                                        std::vector<NvDsInferObjectDetectionInfo> &objects) {
    if (outputs.size() != 1 || outputs[0].dataType != FLOAT || outputs[0].inferDims.numDims != 2) return false;
    const unsigned rows = outputs[0].inferDims.d[0], anchors = outputs[0].inferDims.d[1];
    const unsigned classes = params.numClassesConfigured;
    if (rows != 4 + classes || params.perClassPreclusterThreshold.size() < classes) return false;
    const float *values = static_cast<const float *>(outputs[0].buffer);
    const float right = static_cast<float>(network.width), bottom = static_cast<float>(network.height);
    for (unsigned anchor = 0; anchor < anchors; ++anchor) {
        unsigned best = 0;
        float score = -1.0f;
        for (unsigned id = 0; id < classes; ++id) {
            const float found = values[(4 + id) * anchors + anchor];
            if (found > score) {
                best = id;
                score = found;
            }
        }
        if (score < params.perClassPreclusterThreshold[best]) continue;
        const float x = values[anchor], y = values[anchors + anchor];
        const float half_w = values[2 * anchors + anchor] / 2, half_h = values[3 * anchors + anchor] / 2;
        NvDsInferObjectDetectionInfo object{};
        object.classId = best;
        object.detectionConfidence = score;
        object.left = std::min(std::max(x - half_w, 0.0f), right);
        object.top = std::min(std::max(y - half_h, 0.0f), bottom);
        object.width = std::min(std::max(x + half_w, 0.0f), right) - object.left;
        object.height = std::min(std::max(y + half_h, 0.0f), bottom) - object.top;
        if (object.width > 0 && object.height > 0) objects.push_back(object);
    }
    return true;
}

CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(NvDsInferParseEdgebound);
