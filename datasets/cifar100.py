"""CIFAR-100: 60,000 photographs of 32 × 32 pixels; one-vs-rest tasks of 20 coarse or 100 fine classes.

The papers' tasks are the 20 superclasses (``labels=coarse``), in the order of the official
``coarse_label_names``; the coarse labels are those that the data files hold.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from bench import ClassFolders, Hub, OneVsRest, Parquet, PythonBatches

COARSE = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things "
    "large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals "
    "non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2"
)
FINE = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly "
    "camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile "
    "cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp "
    "lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree "
    "orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum "
    "rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider "
    "squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)


class Cifar100(OneVsRest):
    title = "CIFAR-100"
    licence = "not stated by the authors; for research"
    citation = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    home = "https://www.cs.toronto.edu/~kriz/cifar.html"
    layout = "cifar100/cifar100/{train,test}-*.parquet, cifar-100-python/ or cifar100/{train,test}/<class>/*"
    expected: ClassVar = {"train": 50_000, "test": 10_000}
    has_anomaly_pool = True
    folder = "cifar100"
    facts = (
        (
            "50,000 train and 10,000 test images; 20 coarse and 100 fine labels",
            "the authors' page",
            "each copy, by data check",
        ),
        (
            "the MD5 of the official files",
            "torchvision.datasets",
            "each copy of official files, by data check",
        ),
    )

    def __init__(
        self,
        protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest",
        labels: Literal["coarse", "fine"] = "coarse",
    ) -> None:
        self.protocol = protocol
        self.classes = tuple((COARSE if labels == "coarse" else FINE).split())
        self.hub = Hub("uoft-cs/cifar100", image="img", label=f"{labels}_label")
        self.layouts = (
            Parquet("cifar100", image="img", label=f"{labels}_label"),
            PythonBatches(
                folders=("cifar100/cifar-100-python", "cifar-100-python"),
                train=("train",),
                test=("test",),
                label=f"{labels}_labels",
            ),
            ClassFolders("cifar100"),
        )
