print("vfio-user")
