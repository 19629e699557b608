"""One made-up file for each kind that a laboratory meets: its layout, its name and its format."""

from dataclasses import dataclass
from pathlib import Path

import fabricated
from fabricated import State
from safetensors.torch import save_file


@dataclass(frozen=True)
class LayoutFile:
    """A kind of file: `layout` of `fabricated.layouts`, published as `name`, found as `recognised`."""

    title: str
    layout: str
    name: str
    recognised: str
    legacy: bool = False  # written before PyTorch 1.6

    def write(self, state: State, folder: Path) -> Path:
        content = fabricated.layouts(state)[self.layout]
        if self.name.endswith(".safetensors"):
            save_file({key: tensor.clone() for key, tensor in content.items()}, folder / self.name)
            return folder / self.name
        return fabricated.save(content, folder / self.name, legacy=self.legacy)


FILES = (
    LayoutFile("torchvision V1", "torchvision", "resnet-0676ba61.pth", "plain"),
    LayoutFile("torchvision V1, older", "torchvision", "resnet-19c8e357.pth", "plain", legacy=True),
    LayoutFile("torchvision V2", "torchvision", "resnet-11ad3fa6.pth", "plain"),
    LayoutFile("Barlow Twins", "headless", "resnet50.pth", "plain"),
    LayoutFile("Barlow Twins, full", "Barlow Twins, full", "checkpoint.pth", "Barlow Twins or VICReg, full checkpoint"),
    LayoutFile("Lunit BT", "headless", "bt_rn50_ep200.torch", "plain"),
    LayoutFile("Lunit MoCo", "headless", "mocov2_rn50_ep200.torch", "plain"),
    LayoutFile("Lunit SwAV", "headless", "swav_rn50_ep200.torch", "plain"),
    LayoutFile("MoCo", "MoCo", "moco_v2_800ep_pretrain.pth.tar", "MoCo"),
    LayoutFile("SwAV", "SwAV", "swav_800ep_pretrain.pth.tar", "plain, DataParallel or SwAV", legacy=True),
    LayoutFile("DINO", "headless", "dino_resnet50_pretrain.pth", "plain"),
    LayoutFile("DINO, full", "DINO, full", "dino_full.pth", "DINO, full checkpoint"),
    LayoutFile("VICReg", "headless", "resnet50.pth", "plain"),
    LayoutFile("RetCCL", "headless", "best_ckpt.pth", "plain"),
    LayoutFile("SimCLR of Ciga et al.", "SimCLR of Ciga et al.", "tenpercent_resnet18.ckpt", "SimCLR of Ciga et al."),
    LayoutFile("timm, .safetensors", "torchvision", "model.safetensors", "plain"),
    LayoutFile("timm, .bin", "torchvision", "pytorch_model.bin", "plain"),
    LayoutFile("state_dict", "state_dict", "model_best.pth.tar", "DataParallel below state_dict"),
    LayoutFile("U-Net", "U-Net", "unet.pt", "U-Net"),
    LayoutFile("U-Net in Lightning", "U-Net in Lightning", "last.ckpt", "U-Net in Lightning"),
)
