print("midtrain")
