"""The known weights: which file, how its images are normalised, and who may use it for what.

Statistics and hashes are facts about released files; the hash of torchvision's files begins with the eight digits in
their names. Weights without a published hash are recognised by the user's word alone.
"""

from dataclasses import dataclass

from jaxseg.errors import UsageError

Statistics = tuple[float, float, float]
NOT_STATED = "not stated"  # terms of weights that the user said nothing of

IMAGENET_MEAN: Statistics = (0.485, 0.456, 0.406)
IMAGENET_STD: Statistics = (0.229, 0.224, 0.225)
LUNIT_MEAN: Statistics = (0.70322989, 0.53606487, 0.66096631)
LUNIT_STD: Statistics = (0.21716536, 0.26081574, 0.20723464)


@dataclass(frozen=True)
class Source:
    """Weights that are published.

    Attributes:
        name: how commands and studies call them.
        title: one line.
        files: names of the published files.
        sha256: hashes of these files, or their beginnings; empty where the publisher states none.
        depths: of the ResNets that are published under this name.
        megabytes: size of the ResNet50's file (or of the only one), rounded.
        mean, std: statistics that images in [0, 1] are normalised with, RGB.
        statistics_from: where they are stated.
        licence, citation, address: of the publisher; "unverified" where only recalled.
        trap: what goes wrong with these weights, if anything does.
    """

    name: str
    title: str
    files: tuple[str, ...]
    licence: str
    citation: str
    address: str
    statistics_from: str
    mean: Statistics = IMAGENET_MEAN
    std: Statistics = IMAGENET_STD
    sha256: tuple[str, ...] = ()
    depths: tuple[int, ...] = (50,)
    megabytes: int = 94
    trap: str = ""

    def published(self, sha256: str) -> bool:
        """Whether a file of this hash is one of the published ones."""
        return any(sha256.startswith(beginning) for beginning in self.sha256)


_TORCHVISION = "torchvision's transforms for these weights (ImageNet statistics)"
_KANG = "Kang, Song, Park, Yoo, Pereira: Benchmarking self-supervised learning on diverse pathology datasets. CVPR 2023"
_LUNIT_ADDRESS = "https://github.com/lunit-io/benchmark-ssl-pathology/releases/tag/pretrained-weights"
_LUNIT_NOTES = "release notes of the weights (statistics of their training slides)"
_LUNIT_LICENCE = "non-commercial research only (Lunit)"
_LUNIT_TRAP = (
    "a widely used mirror declares ImageNet statistics for them; trained on TCGA slides, from which KUMAR's test"
    " images are cut"
)


def _lunit(name: str, title: str, file: str) -> Source:
    return Source(
        name=name,
        title=title,
        files=(file,),
        licence=_LUNIT_LICENCE,
        citation=_KANG,
        address=_LUNIT_ADDRESS,
        statistics_from=_LUNIT_NOTES,
        mean=LUNIT_MEAN,
        std=LUNIT_STD,
        trap=_LUNIT_TRAP,
    )


SOURCES = (
    Source(
        name="imagenet_v1",
        title="supervised, ImageNet, torchvision V1 (top-1 76.13)",
        files=(
            "resnet50-0676ba61.pth",
            "resnet50-19c8e357.pth",
            "resnet18-f37072fd.pth",
            "resnet34-b627a593.pth",
            "resnet101-63fe2227.pth",
            "resnet152-394f9c45.pth",
        ),
        sha256=("0676ba61", "19c8e357", "f37072fd", "b627a593", "63fe2227", "394f9c45"),
        depths=(18, 34, 50, 101, 152),
        megabytes=98,
        licence="BSD-3-Clause",
        citation="He, Zhang, Ren, Sun: Deep residual learning for image recognition. CVPR 2016; torchvision",
        address="https://download.pytorch.org/models/resnet50-0676ba61.pth",
        statistics_from=_TORCHVISION,
    ),
    Source(
        name="imagenet_v2",
        title="supervised, ImageNet, torchvision V2 (top-1 80.86)",
        files=("resnet50-11ad3fa6.pth", "resnet101-cd907fc2.pth", "resnet152-f82ba261.pth"),
        sha256=("11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca", "cd907fc2", "f82ba261"),
        depths=(50, 101, 152),
        megabytes=98,
        licence="BSD-3-Clause",
        citation="Vryniotis: How to train state-of-the-art models using TorchVision's latest primitives. 2021",
        address="https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        statistics_from=_TORCHVISION,
    ),
    Source(
        name="ssl_image",
        title="Barlow Twins, ImageNet",
        files=("resnet50.pth", "checkpoint.pth"),
        licence="CC BY-NC 4.0 or MIT, by version of the repository (unverified)",
        citation="Zbontar, Jing, Misra, LeCun, Deny: Barlow Twins. ICML 2021",
        address="https://github.com/facebookresearch/barlowtwins",
        statistics_from="the transforms of the repository (ImageNet statistics)",
        trap="two checkpoints exist (encoder alone, full); timm's resnet50.bt_in1k is not Barlow Twins",
    ),
    _lunit("ssl_pathology", "Barlow Twins, 19 M pathology patches (Lunit)", "bt_rn50_ep200.torch"),
    _lunit("lunit_mocov2", "MoCo v2, 19 M pathology patches (Lunit)", "mocov2_rn50_ep200.torch"),
    _lunit("lunit_swav", "SwAV, 19 M pathology patches (Lunit)", "swav_rn50_ep200.torch"),
    Source(
        name="moco",
        title="MoCo v1 or v2, ImageNet",
        files=("moco_v1_200ep_pretrain.pth.tar", "moco_v2_200ep_pretrain.pth.tar", "moco_v2_800ep_pretrain.pth.tar"),
        licence="see the repository's LICENSE (unverified)",
        citation="He, Fan, Wu, Xie, Girshick: Momentum contrast. CVPR 2020; Chen, Fan, Girshick, He: Improved"
        " baselines with momentum contrastive learning. 2020",
        address="https://github.com/facebookresearch/moco",
        statistics_from="the transforms of the repository (ImageNet statistics)",
    ),
    Source(
        name="swav",
        title="SwAV, ImageNet",
        files=("swav_800ep_pretrain.pth.tar",),
        licence="CC BY-NC 4.0 (unverified)",
        citation="Caron, Misra, Mairal, Goyal, Bojanowski, Joulin: Unsupervised learning of visual features by"
        " contrasting cluster assignments. NeurIPS 2020",
        address="https://github.com/facebookresearch/swav",
        statistics_from="the transforms of the repository (unverified; ImageNet statistics)",
    ),
    Source(
        name="dino",
        title="DINO, ImageNet",
        files=("dino_resnet50_pretrain.pth",),
        licence="Apache-2.0",
        citation="Caron, Touvron, Misra, Jégou, Mairal, Bojanowski, Joulin: Emerging properties in self-supervised"
        " vision transformers. ICCV 2021",
        address="https://github.com/facebookresearch/dino",
        statistics_from="the transforms of the repository (ImageNet statistics)",
    ),
    Source(
        name="vicreg",
        title="VICReg, ImageNet",
        files=("resnet50.pth",),
        licence="CC BY-NC 4.0 (unverified)",
        citation="Bardes, Ponce, LeCun: VICReg. ICLR 2022",
        address="https://github.com/facebookresearch/vicreg",
        statistics_from="the transforms of the repository (ImageNet statistics)",
    ),
    Source(
        name="retccl",
        title="RetCCL, pathology",
        files=("best_ckpt.pth",),
        licence="GPL-3.0, academic use",
        citation="Wang, Du, Yang, Zhang, Wang, Zhang, Yang, Huang, Han: RetCCL. Medical Image Analysis 83, 2023",
        address="https://github.com/Xiyue-Wang/RetCCL",
        statistics_from="the example of the repository (ImageNet statistics)",
    ),
    Source(
        name="simclr_ciga",
        title="SimCLR, 57 pathology datasets, ResNet18",
        files=("tenpercent_resnet18.ckpt",),
        depths=(18,),
        megabytes=45,
        licence="see the repository (unverified)",
        citation="Ciga, Xu, Martel: Self supervised contrastive learning for digital histopathology. Machine Learning"
        " with Applications 7, 2022",
        address="https://github.com/ozanciga/self-supervised-histopathology",
        statistics_from="the repository (0.5 for all channels)",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
)


def named(name: str) -> Source:
    """The known weights of that name; `UsageError` lists the names."""
    for source in SOURCES:
        if source.name == name:
            return source
    raise UsageError(
        "no such source",
        found=name,
        expected=", ".join(source.name for source in SOURCES),
        remedy="see: python -m weights_convert list; for other weights give --mean and --std instead",
    )


def published_as(sha256: str) -> Source | None:
    """The known weights that a file of this hash is, where its publisher states the hash."""
    return next((source for source in SOURCES if source.published(sha256)), None)
