from tltpy.spec import detection_pb2 as _detection_pb2
from tltpy.spec import options_pb2 as _options_pb2
from tltpy.spec import quant_pb2 as _quant_pb2
from tltpy.spec import training_pb2 as _training_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class YoloConfig(_message.Message):
    __slots__ = ("big_anchor_shape", "mid_anchor_shape", "small_anchor_shape", "matching_neutral_box_iou", "arch", "nlayers", "arch_conv_blocks", "loss_loc_weight", "loss_neg_obj_weights", "loss_class_weights", "freeze_blocks", "freeze_bn", "force_relu", "batch_norm_momentum")
    BIG_ANCHOR_SHAPE_FIELD_NUMBER: _ClassVar[int]
    MID_ANCHOR_SHAPE_FIELD_NUMBER: _ClassVar[int]
    SMALL_ANCHOR_SHAPE_FIELD_NUMBER: _ClassVar[int]
    MATCHING_NEUTRAL_BOX_IOU_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    NLAYERS_FIELD_NUMBER: _ClassVar[int]
    ARCH_CONV_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    LOSS_LOC_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    LOSS_NEG_OBJ_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    LOSS_CLASS_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    FREEZE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    FREEZE_BN_FIELD_NUMBER: _ClassVar[int]
    FORCE_RELU_FIELD_NUMBER: _ClassVar[int]
    BATCH_NORM_MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    big_anchor_shape: str
    mid_anchor_shape: str
    small_anchor_shape: str
    matching_neutral_box_iou: float
    arch: str
    nlayers: int
    arch_conv_blocks: int
    loss_loc_weight: float
    loss_neg_obj_weights: float
    loss_class_weights: float
    freeze_blocks: _containers.RepeatedScalarFieldContainer[float]
    freeze_bn: bool
    force_relu: bool
    batch_norm_momentum: float
    def __init__(self, big_anchor_shape: _Optional[str] = ..., mid_anchor_shape: _Optional[str] = ..., small_anchor_shape: _Optional[str] = ..., matching_neutral_box_iou: _Optional[float] = ..., arch: _Optional[str] = ..., nlayers: _Optional[int] = ..., arch_conv_blocks: _Optional[int] = ..., loss_loc_weight: _Optional[float] = ..., loss_neg_obj_weights: _Optional[float] = ..., loss_class_weights: _Optional[float] = ..., freeze_blocks: _Optional[_Iterable[float]] = ..., freeze_bn: bool = ..., force_relu: bool = ..., batch_norm_momentum: _Optional[float] = ...) -> None: ...

class Experiment(_message.Message):
    __slots__ = ("dataset_config", "augmentation_config", "training_config", "eval_config", "nms_config", "yolo_config", "yolov3_config", "random_seed", "calibration_config", "qat_config", "quant_config")
    DATASET_CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUGMENTATION_CONFIG_FIELD_NUMBER: _ClassVar[int]
    TRAINING_CONFIG_FIELD_NUMBER: _ClassVar[int]
    EVAL_CONFIG_FIELD_NUMBER: _ClassVar[int]
    NMS_CONFIG_FIELD_NUMBER: _ClassVar[int]
    YOLO_CONFIG_FIELD_NUMBER: _ClassVar[int]
    YOLOV3_CONFIG_FIELD_NUMBER: _ClassVar[int]
    RANDOM_SEED_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_CONFIG_FIELD_NUMBER: _ClassVar[int]
    QAT_CONFIG_FIELD_NUMBER: _ClassVar[int]
    QUANT_CONFIG_FIELD_NUMBER: _ClassVar[int]
    dataset_config: _detection_pb2.DatasetConfig
    augmentation_config: _detection_pb2.AugmentationConfig
    training_config: _training_pb2.TrainingConfig
    eval_config: _detection_pb2.EvalConfig
    nms_config: _detection_pb2.NMSConfig
    yolo_config: YoloConfig
    yolov3_config: YoloConfig
    random_seed: int
    calibration_config: _quant_pb2.CalibrationConfig
    qat_config: _quant_pb2.QatConfig
    quant_config: _quant_pb2.QuantConfig
    def __init__(self, dataset_config: _Optional[_Union[_detection_pb2.DatasetConfig, _Mapping]] = ..., augmentation_config: _Optional[_Union[_detection_pb2.AugmentationConfig, _Mapping]] = ..., training_config: _Optional[_Union[_training_pb2.TrainingConfig, _Mapping]] = ..., eval_config: _Optional[_Union[_detection_pb2.EvalConfig, _Mapping]] = ..., nms_config: _Optional[_Union[_detection_pb2.NMSConfig, _Mapping]] = ..., yolo_config: _Optional[_Union[YoloConfig, _Mapping]] = ..., yolov3_config: _Optional[_Union[YoloConfig, _Mapping]] = ..., random_seed: _Optional[int] = ..., calibration_config: _Optional[_Union[_quant_pb2.CalibrationConfig, _Mapping]] = ..., qat_config: _Optional[_Union[_quant_pb2.QatConfig, _Mapping]] = ..., quant_config: _Optional[_Union[_quant_pb2.QuantConfig, _Mapping]] = ...) -> None: ...
