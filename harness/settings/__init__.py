"""Every setting with its default, profiles on top, and the files a branch is configured by."""
