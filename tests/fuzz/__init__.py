"""Every file that a person writes or may edit, broken in every way that comes to mind."""
