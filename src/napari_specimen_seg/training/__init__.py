"""Learning from labelled pictures: settings, data and its checks, augmentation, the run itself."""
