"""The public face for applications.

```
import cv2
from edgebound import Detector

with Detector.open("/opt/steel") as detector:  # where `pipeline pull` put a release
    for found in detector(cv2.imread("street.jpg")):
        print(found.name, found.score, found.left, found.top, found.right, found.bottom)
```
Nothing of this imports torch or ultralytics.
"""

from targets.detections import Detection, Detections, Times
from targets.detector import Detector
from targets.errors import EdgeboundError
from targets.sources import Frame, open_source

__all__ = ["Detection", "Detections", "Detector", "EdgeboundError", "Frame", "Times", "open_source"]
