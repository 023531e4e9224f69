"""Makes mobilenetv2.json with torchvision alone: eager, official weights, no egofeat.

python tests/golden/make_mobilenetv2.py mobilenet_v2-b0353104.pth
"""

import json
import sys
from pathlib import Path

import torch
from picture import picture
from torchvision.models import mobilenet_v2

model = mobilenet_v2()
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
model.eval()
batch = torch.from_numpy(picture()).permute(2, 0, 1)[None] / 255
mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
with torch.inference_mode():
    maps = model.features((batch - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    gap = maps.mean((2, 3))[0]
golden = {
    "torch": torch.__version__,
    "gap": [round(value, 6) for value in gap.tolist()],
    "map_corner": [round(value, 6) for value in maps[0, :64, 0, 0].tolist()],
}
Path(__file__).with_name("mobilenetv2.json").write_text(json.dumps(golden) + "\n")
