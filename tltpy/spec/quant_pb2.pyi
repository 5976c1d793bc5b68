from tltpy.spec import options_pb2 as _options_pb2
from tltpy.spec import training_pb2 as _training_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CalibrationConfig(_message.Message):
    __slots__ = ("steps", "batch_size", "observer", "percentile", "averaging_constant", "augment")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    OBSERVER_FIELD_NUMBER: _ClassVar[int]
    PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    AVERAGING_CONSTANT_FIELD_NUMBER: _ClassVar[int]
    AUGMENT_FIELD_NUMBER: _ClassVar[int]
    steps: int
    batch_size: int
    observer: str
    percentile: float
    averaging_constant: float
    augment: bool
    def __init__(self, steps: _Optional[int] = ..., batch_size: _Optional[int] = ..., observer: _Optional[str] = ..., percentile: _Optional[float] = ..., averaging_constant: _Optional[float] = ..., augment: bool = ...) -> None: ...

class QatConfig(_message.Message):
    __slots__ = ("qat_mode", "num_epochs", "learning_rate", "optimizer", "averaging_constant", "learned_scales")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FUSE_BN: _ClassVar[QatConfig.Mode]
        WITH_BN: _ClassVar[QatConfig.Mode]
    FUSE_BN: QatConfig.Mode
    WITH_BN: QatConfig.Mode
    QAT_MODE_FIELD_NUMBER: _ClassVar[int]
    NUM_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    AVERAGING_CONSTANT_FIELD_NUMBER: _ClassVar[int]
    LEARNED_SCALES_FIELD_NUMBER: _ClassVar[int]
    qat_mode: QatConfig.Mode
    num_epochs: int
    learning_rate: _training_pb2.LearningRateConfig
    optimizer: _training_pb2.OptimizerConfig
    averaging_constant: float
    learned_scales: bool
    def __init__(self, qat_mode: _Optional[_Union[QatConfig.Mode, str]] = ..., num_epochs: _Optional[int] = ..., learning_rate: _Optional[_Union[_training_pb2.LearningRateConfig, _Mapping]] = ..., optimizer: _Optional[_Union[_training_pb2.OptimizerConfig, _Mapping]] = ..., averaging_constant: _Optional[float] = ..., learned_scales: bool = ...) -> None: ...

class SensitiveOps(_message.Message):
    __slots__ = ("table", "topk", "ratio")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    TOPK_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    table: str
    topk: int
    ratio: float
    def __init__(self, table: _Optional[str] = ..., topk: _Optional[int] = ..., ratio: _Optional[float] = ...) -> None: ...

class FixedRange(_message.Message):
    __slots__ = ("name", "threshold")
    NAME_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    name: str
    threshold: float
    def __init__(self, name: _Optional[str] = ..., threshold: _Optional[float] = ...) -> None: ...

class QuantConfig(_message.Message):
    __slots__ = ("weight_bits", "int16_ops", "sensitive_ops", "float_ops", "fixed_ranges")
    WEIGHT_BITS_FIELD_NUMBER: _ClassVar[int]
    INT16_OPS_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_OPS_FIELD_NUMBER: _ClassVar[int]
    FLOAT_OPS_FIELD_NUMBER: _ClassVar[int]
    FIXED_RANGES_FIELD_NUMBER: _ClassVar[int]
    weight_bits: int
    int16_ops: _containers.RepeatedScalarFieldContainer[str]
    sensitive_ops: _containers.RepeatedCompositeFieldContainer[SensitiveOps]
    float_ops: _containers.RepeatedScalarFieldContainer[str]
    fixed_ranges: _containers.RepeatedCompositeFieldContainer[FixedRange]
    def __init__(self, weight_bits: _Optional[int] = ..., int16_ops: _Optional[_Iterable[str]] = ..., sensitive_ops: _Optional[_Iterable[_Union[SensitiveOps, _Mapping]]] = ..., float_ops: _Optional[_Iterable[str]] = ..., fixed_ranges: _Optional[_Iterable[_Union[FixedRange, _Mapping]]] = ...) -> None: ...
