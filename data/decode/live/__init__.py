"""Videos that never end and cannot seek: packets are taken as they come, and held undecoded."""
