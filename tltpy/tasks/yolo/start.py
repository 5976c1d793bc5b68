"""What a spec of yolo must hold, and a little more, to begin with; everything else has its default."""

TEXT = """random_seed: 42
dataset_config {
  data_sources {
    tfrecords_path: "/data/kitti/tfrecords/kitti_trainval*"
    image_directory_path: "/data/kitti/training"
  }
  image_extension: "png"
  target_class_mapping { key: "car" value: "car" }
  target_class_mapping { key: "van" value: "car" }
  target_class_mapping { key: "pedestrian" value: "pedestrian" }
  target_class_mapping { key: "person_sitting" value: "pedestrian" }
  target_class_mapping { key: "cyclist" value: "cyclist" }
  validation_fold: 0
}
augmentation_config {
  preprocessing { output_image_width: 1248 output_image_height: 384 }
  spatial_augmentation { hflip_probability: 0.5 zoom_min: 0.7 zoom_max: 1.8 translate_max_x: 8 translate_max_y: 8 }
  color_augmentation { hue_rotation_max: 25 saturation_shift_max: 0.2 contrast_scale_max: 0.1 }
}
training_config {
  learning_rate {
    soft_start_annealing_schedule {
      min_learning_rate: 1e-6
      max_learning_rate: 1e-4
      soft_start: 0.1
      annealing: 0.5
    }
  }
  regularizer { type: L1 weight: 3e-5 }
  optimizer { adam { } }
  checkpoint_interval: 10
}
eval_config { validation_period_during_training: 10 }
"""
