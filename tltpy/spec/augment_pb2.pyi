from tltpy.spec import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RotationConfig(_message.Message):
    __slots__ = ("angle", "units", "refine_box")
    ANGLE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    REFINE_BOX_FIELD_NUMBER: _ClassVar[int]
    angle: _containers.RepeatedScalarFieldContainer[float]
    units: str
    refine_box: RefineBoxConfig
    def __init__(self, angle: _Optional[_Iterable[float]] = ..., units: _Optional[str] = ..., refine_box: _Optional[_Union[RefineBoxConfig, _Mapping]] = ...) -> None: ...

class RefineBoxConfig(_message.Message):
    __slots__ = ("enabled", "gt_cache")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    GT_CACHE_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    gt_cache: str
    def __init__(self, enabled: bool = ..., gt_cache: _Optional[str] = ...) -> None: ...

class ShearConfig(_message.Message):
    __slots__ = ("shear_ratio_x", "shear_ratio_y")
    SHEAR_RATIO_X_FIELD_NUMBER: _ClassVar[int]
    SHEAR_RATIO_Y_FIELD_NUMBER: _ClassVar[int]
    shear_ratio_x: _containers.RepeatedScalarFieldContainer[float]
    shear_ratio_y: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, shear_ratio_x: _Optional[_Iterable[float]] = ..., shear_ratio_y: _Optional[_Iterable[float]] = ...) -> None: ...

class TranslationConfig(_message.Message):
    __slots__ = ("translate_x", "translate_y")
    TRANSLATE_X_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_Y_FIELD_NUMBER: _ClassVar[int]
    translate_x: _containers.RepeatedScalarFieldContainer[float]
    translate_y: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, translate_x: _Optional[_Iterable[float]] = ..., translate_y: _Optional[_Iterable[float]] = ...) -> None: ...

class FlipConfig(_message.Message):
    __slots__ = ("flip_horizontal", "flip_vertical")
    FLIP_HORIZONTAL_FIELD_NUMBER: _ClassVar[int]
    FLIP_VERTICAL_FIELD_NUMBER: _ClassVar[int]
    flip_horizontal: _containers.RepeatedScalarFieldContainer[bool]
    flip_vertical: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, flip_horizontal: _Optional[_Iterable[bool]] = ..., flip_vertical: _Optional[_Iterable[bool]] = ...) -> None: ...

class SpatialConfig(_message.Message):
    __slots__ = ("rotation_config", "shear_config", "translation_config", "flip_config")
    ROTATION_CONFIG_FIELD_NUMBER: _ClassVar[int]
    SHEAR_CONFIG_FIELD_NUMBER: _ClassVar[int]
    TRANSLATION_CONFIG_FIELD_NUMBER: _ClassVar[int]
    FLIP_CONFIG_FIELD_NUMBER: _ClassVar[int]
    rotation_config: RotationConfig
    shear_config: ShearConfig
    translation_config: TranslationConfig
    flip_config: FlipConfig
    def __init__(self, rotation_config: _Optional[_Union[RotationConfig, _Mapping]] = ..., shear_config: _Optional[_Union[ShearConfig, _Mapping]] = ..., translation_config: _Optional[_Union[TranslationConfig, _Mapping]] = ..., flip_config: _Optional[_Union[FlipConfig, _Mapping]] = ...) -> None: ...

class HueSaturationConfig(_message.Message):
    __slots__ = ("hue_rotation_angle", "saturation_shift")
    HUE_ROTATION_ANGLE_FIELD_NUMBER: _ClassVar[int]
    SATURATION_SHIFT_FIELD_NUMBER: _ClassVar[int]
    hue_rotation_angle: _containers.RepeatedScalarFieldContainer[float]
    saturation_shift: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, hue_rotation_angle: _Optional[_Iterable[float]] = ..., saturation_shift: _Optional[_Iterable[float]] = ...) -> None: ...

class ContrastConfig(_message.Message):
    __slots__ = ("contrast", "center")
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    CENTER_FIELD_NUMBER: _ClassVar[int]
    contrast: _containers.RepeatedScalarFieldContainer[float]
    center: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, contrast: _Optional[_Iterable[float]] = ..., center: _Optional[_Iterable[float]] = ...) -> None: ...

class BrightnessConfig(_message.Message):
    __slots__ = ("offset",)
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    offset: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, offset: _Optional[_Iterable[float]] = ...) -> None: ...

class ColorConfig(_message.Message):
    __slots__ = ("hue_saturation_config", "contrast_config", "brightness_config")
    HUE_SATURATION_CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_CONFIG_FIELD_NUMBER: _ClassVar[int]
    BRIGHTNESS_CONFIG_FIELD_NUMBER: _ClassVar[int]
    hue_saturation_config: HueSaturationConfig
    contrast_config: ContrastConfig
    brightness_config: BrightnessConfig
    def __init__(self, hue_saturation_config: _Optional[_Union[HueSaturationConfig, _Mapping]] = ..., contrast_config: _Optional[_Union[ContrastConfig, _Mapping]] = ..., brightness_config: _Optional[_Union[BrightnessConfig, _Mapping]] = ...) -> None: ...

class BlurConfig(_message.Message):
    __slots__ = ("size", "std")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    STD_FIELD_NUMBER: _ClassVar[int]
    size: _containers.RepeatedScalarFieldContainer[int]
    std: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, size: _Optional[_Iterable[int]] = ..., std: _Optional[_Iterable[float]] = ...) -> None: ...

class AugmentedDatasetConfig(_message.Message):
    __slots__ = ("image_path", "label_path")
    IMAGE_PATH_FIELD_NUMBER: _ClassVar[int]
    LABEL_PATH_FIELD_NUMBER: _ClassVar[int]
    image_path: str
    label_path: str
    def __init__(self, image_path: _Optional[str] = ..., label_path: _Optional[str] = ...) -> None: ...

class AugmentConfig(_message.Message):
    __slots__ = ("spatial_config", "color_config", "blur_config", "dataset_config", "output_image_width", "output_image_height", "output_image_channel", "image_extension", "random_seed", "order")
    class Order(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESIZE_FIRST: _ClassVar[AugmentConfig.Order]
        RESIZE_LAST: _ClassVar[AugmentConfig.Order]
    RESIZE_FIRST: AugmentConfig.Order
    RESIZE_LAST: AugmentConfig.Order
    SPATIAL_CONFIG_FIELD_NUMBER: _ClassVar[int]
    COLOR_CONFIG_FIELD_NUMBER: _ClassVar[int]
    BLUR_CONFIG_FIELD_NUMBER: _ClassVar[int]
    DATASET_CONFIG_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_IMAGE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_IMAGE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_IMAGE_CHANNEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_EXTENSION_FIELD_NUMBER: _ClassVar[int]
    RANDOM_SEED_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    spatial_config: SpatialConfig
    color_config: ColorConfig
    blur_config: BlurConfig
    dataset_config: AugmentedDatasetConfig
    output_image_width: int
    output_image_height: int
    output_image_channel: int
    image_extension: str
    random_seed: int
    order: AugmentConfig.Order
    def __init__(self, spatial_config: _Optional[_Union[SpatialConfig, _Mapping]] = ..., color_config: _Optional[_Union[ColorConfig, _Mapping]] = ..., blur_config: _Optional[_Union[BlurConfig, _Mapping]] = ..., dataset_config: _Optional[_Union[AugmentedDatasetConfig, _Mapping]] = ..., output_image_width: _Optional[int] = ..., output_image_height: _Optional[int] = ..., output_image_channel: _Optional[int] = ..., image_extension: _Optional[str] = ..., random_seed: _Optional[int] = ..., order: _Optional[_Union[AugmentConfig.Order, str]] = ...) -> None: ...
