"""Where files lie besides folders: compressed, inside of archives, in stores that a URL names."""
