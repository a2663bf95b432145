"""What cleaning found, as one page to look at and listen to."""

from harness.report.data.page import PAGE_FILE, num_media_files, write_data_page

__all__ = ["PAGE_FILE", "num_media_files", "write_data_page"]
